//! A pipelined RESP client.
