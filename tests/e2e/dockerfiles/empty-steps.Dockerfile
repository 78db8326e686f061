FROM base
RUN true
RUN echo x > /tmp/a && rm /tmp/a
COPY words.txt /f
RUN true
