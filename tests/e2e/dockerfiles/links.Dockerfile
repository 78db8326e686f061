FROM base
RUN echo h > /h1 && ln /h1 /h2 && ln -s h1 /s && mkfifo /p && mknod /n c 1 3
RUN echo more >> /h2
RUN chmod 600 /h1
COPY --from=base /bin /bin2
