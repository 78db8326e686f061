FROM base
LABEL a=b c="d e"
ENV X=1 Y="two words"
ENV OLD style value
EXPOSE 80 443/udp 1000-1002
VOLUME /data /more
USER worker
WORKDIR rel
WORKDIR /home/worker
STOPSIGNAL SIGTERM
SHELL ["/bin/sh","-ec"]
ENTRYPOINT echo hi
CMD ["x"]
MAINTAINER me
