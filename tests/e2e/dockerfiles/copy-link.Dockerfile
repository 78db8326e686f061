FROM base
COPY --link dir /d
COPY --link --chown=5:6 words.txt /d/f
COPY --link --from=base /etc/passwd /p
