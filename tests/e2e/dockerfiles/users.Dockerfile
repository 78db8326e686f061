FROM base
USER 1000:1000
WORKDIR /new/deep
RUN id -u > /tmp/u; pwd > /tmp/p; touch x 2>/dev/null; true
USER root
WORKDIR /new
RUN touch y
