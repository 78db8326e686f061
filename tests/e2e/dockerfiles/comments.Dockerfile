FROM base
# c
RUN echo a && \
  # inner
  echo b \

  && echo c > /c
