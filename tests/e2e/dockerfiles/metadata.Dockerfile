FROM base
RUN dd if=/dev/zero of=/big bs=1 count=1 seek=5000000 2>/dev/null; chmod 4755 /bin/busybox; mkdir /st && chmod 1777 /st
RUN touch -d @1 /old; mv /old /newname
RUN mv /st /st2
