//! What `cargo xtask codegen` made of `proto/`: messages, clients, servers and the descriptors for reflection.

/// The messages and services of `quiver.v1`.
#[expect(clippy::allow_attributes, reason = "what tonic generates")]
pub mod pb {
    include!("generated/quiver.v1.rs");
}

/// The messages and the service of Arrow Flight.
#[expect(clippy::allow_attributes, reason = "what tonic generates")]
pub mod flight {
    include!("generated/arrow.flight.protocol.rs");
}

/// The messages and the service of the health protocol.
#[expect(clippy::allow_attributes, reason = "what tonic generates")]
pub mod health {
    include!("generated/grpc.health.v1.rs");
}

/// The encoded descriptor set of the API, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");
