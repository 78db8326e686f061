FROM base
COPY --chown=1000:1000 --chmod=640 words.txt /x/
COPY dir /d
COPY dir/ link x.sh /many/
COPY --chown=worker words.txt /named
COPY *.sh words.txt /wild/
COPY --chmod=u+x,g-r words.txt /sym
