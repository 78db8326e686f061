FROM base AS a
RUN mkdir -p /w/x /w/y && echo 1 > /w/x/1 && echo 2 > /w/2
RUN rm -r /w/x /w/2 && mkdir /w/x && echo n > /w/x/n
RUN rm -rf /w && ln -s /etc /w
