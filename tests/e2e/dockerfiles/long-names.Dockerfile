FROM base
RUN d=/$(printf 'x%.0s' $(seq 1 120)); mkdir $d && echo 1 > $d/$(printf 'y%.0s' $(seq 1 200)) && ln -s $(printf 'z%.0s' $(seq 1 150)) /sl
