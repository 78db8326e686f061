# with: --target two --label extra=yes
FROM base AS a
RUN echo 1 > /one
FROM a AS b
RUN echo 2 > /two
FROM base AS two
COPY --from=b /one /two /t/
COPY --from=0 /one /zero
LABEL x=2
FROM base AS three
RUN false
