FROM base
RUN mkdir '/ü ñ' && echo x > '/ü ñ/日本.txt' && ln -s '日本.txt' '/ü ñ/l'
LABEL "k ü"="日本 <>&"
ENV Q='a"b' R="a'b" S=a\ b
