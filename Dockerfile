# A static binary in an empty image: no shell, no libc, nobody but uid 65532.
FROM rust:1.85-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /adieu
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY examples examples
RUN cargo build --release --locked --bin adieu

FROM scratch
COPY --from=build /adieu/target/release/adieu /adieu
USER 65532:65532
EXPOSE 8080 8081 9000
# In the form of a list: adieu is process 1 and hears the signals itself.
ENTRYPOINT ["/adieu"]
