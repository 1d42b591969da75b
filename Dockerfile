# One stage builds; the other contains the program without build tools.
FROM rust:1.95-slim-trixie AS build
WORKDIR /source
# The allocator and the TLS library contain some C.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock build.rs ./
COPY .sqlx .sqlx
COPY locales locales
COPY migrations migrations
COPY templates templates
COPY src src
RUN SQLX_OFFLINE=true cargo build --release --locked --bin ormantrace

FROM debian:13-slim
# The folders of the publisher and of a witness exist here, so that new volumes belong to this user.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/ormantrace ormantrace \
    && install -d -o 10001 -g 10001 /register /witness \
    && install -d -m 700 -o 10001 -g 10001 /publisher
COPY --from=build /source/target/release/ormantrace /usr/local/bin/ormantrace
USER 10001
# Stores the key that signs marking codes; the data is in PostgreSQL.
VOLUME /var/lib/ormantrace
ENV ORMANTRACE_DATA_DIR=/var/lib/ormantrace ORMANTRACE_LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["ormantrace", "probe"]
ENTRYPOINT ["ormantrace"]
CMD ["serve"]
