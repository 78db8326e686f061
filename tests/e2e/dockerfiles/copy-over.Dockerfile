FROM base
RUN mkdir -p /d/sub && echo old > /d/a.txt && chmod 700 /d
COPY dir /d
COPY dir/a.txt dir/sub /d/
