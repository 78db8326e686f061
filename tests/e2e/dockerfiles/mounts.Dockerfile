FROM base AS m
RUN echo data > /data
FROM base
RUN --mount=type=bind,from=m,target=/mnt cat /mnt/data > /got
RUN --mount=type=tmpfs,target=/tt touch /tt/x && ls /tt > /ls
RUN --mount=type=cache,id=c,target=/c,uid=5,mode=700 ls -ld /c | cut -c1-30 > /cache
RUN --mount=type=bind,target=/src,rw echo w > /src/new && ls /src > /srcls
