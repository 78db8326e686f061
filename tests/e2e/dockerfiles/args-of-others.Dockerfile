# with: --build-arg C=3 --build-arg HTTP_PROXY=http://x:1
FROM base
ARG A=1 B=2 C
ARG D=$A$B
RUN echo $D > /d
ENV A=env
RUN echo $A > /a
