FROM base
ADD t.tgz /un/
ADD --unpack=false t.tgz /pk/
ADD words.txt /r
ADD --chown=7 t.tgz /ow/
ADD dir/sub /k/
ADD link /l
