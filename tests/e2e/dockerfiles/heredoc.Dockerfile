FROM base
RUN <<EOF
echo a
echo b > /b
EOF
COPY <<EOF <<'EOQ' /h/
val $HOME
EOF
raw $HOME
EOQ
RUN <<X cat > /x && <<Y cat >> /x
1
X
2
Y
