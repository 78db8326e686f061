FROM base
ENV D=/dest N=words.txt
COPY $N $D/
WORKDIR $D
EXPOSE ${P:-8080}
VOLUME $D/v
USER ${U:-worker}
