# with: --build-arg L=set
ARG G=glob
FROM base
ARG G
ARG L=loc
ARG TARGETARCH TARGETOS BUILDPLATFORM
ENV E=${G}-${L:-x}-${NOPE:+y}
RUN echo $G $L $TARGETARCH > /o
LABEL l=$E q='$E' r=${E%-*} s=${E#g*-} t=${E/lob/LOB}
