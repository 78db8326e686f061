# escape=`
FROM base
RUN echo a `
  && echo b > /b
ENV P=c:`\x
