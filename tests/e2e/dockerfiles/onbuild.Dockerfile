FROM base AS parent
ONBUILD RUN echo on > /on
ONBUILD COPY words.txt /g
FROM base
ONBUILD ENV A=b
RUN echo x > /x
