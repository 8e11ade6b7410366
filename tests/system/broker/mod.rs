//! The bus over real RabbitMQ brokers, and what happens to it when they fail.

mod kit;
