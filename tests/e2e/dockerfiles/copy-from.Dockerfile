FROM base AS a
RUN mkdir -p /p/q/r && echo 1 > /p/q/r/f && chmod 700 /p/q && chown 9:9 /p
FROM base
COPY --from=a /p/q/r/f /z/y/
COPY --from=a /p /pp/
COPY --from=a --chown=1:2 /p/q /own/
COPY --from=a /p/q/* /glob/
