//! What VINFO says of a vector set.

use quiver_resp::{OwnedArgv, Value};
use tonic::Status;

use crate::executor::{Auth, Executor};
use crate::gateway::Gateway;
use crate::pb::{IndexOptions, Quantization};
use crate::status::Site;

/// A vector set as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SetInfo {
    pub(crate) quantization: Quantization,
    pub(crate) m: u32,
    /// Dimension of what is kept.
    pub(crate) dim: u32,
    /// Dimension of what is given, where that is projected; else 0.
    pub(crate) projected_from: u32,
    pub(crate) elements: u64,
    pub(crate) max_level: u32,
    pub(crate) with_attributes: u64,
}

impl SetInfo {
    /// The reply of VINFO; `None` if there is no set.
    pub(crate) fn parse(reply: Value) -> Option<Self> {
        let mut info = Self::default();
        for (name, value) in reply.into_pairs().filter(|pairs| !pairs.is_empty())? {
            let number = value.as_i64().and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
            let small = u32::try_from(number).unwrap_or(u32::MAX);
            match name.as_str()? {
                "quant-type" => {
                    info.quantization = match value.as_str() {
                        Some("f32" | "fp32") => Quantization::None,
                        Some("bin") => Quantization::Binary,
                        _ => Quantization::Q8,
                    }
                }
                "hnsw-m" => info.m = small,
                "vector-dim" => info.dim = small,
                "projection-input-dim" => info.projected_from = small,
                "size" => info.elements = number,
                "max-level" => info.max_level = small,
                "attributes-count" => info.with_attributes = number,
                _ => {}
            }
        }
        Some(info)
    }

    /// Dimension of the vectors that clients give.
    pub(crate) fn given_dim(self) -> u32 {
        if self.projected_from == 0 { self.dim } else { self.projected_from }
    }

    /// As the options that made it.
    pub(crate) fn options(self) -> IndexOptions {
        let reduce_dim = if self.projected_from == 0 { 0 } else { self.dim };
        IndexOptions { quantization: self.quantization.into(), m: self.m, ef_construction: 0, reduce_dim }
    }

    /// `asked` with what it leaves open taken from here.
    pub(crate) fn complete(self, asked: IndexOptions) -> IndexOptions {
        let here = self.options();
        let or = |asked: u32, here: u32| if asked == 0 { here } else { asked };
        IndexOptions {
            quantization: if asked.quantization == 0 { here.quantization } else { asked.quantization },
            m: or(asked.m, here.m),
            ef_construction: asked.ef_construction,
            reduce_dim: or(asked.reduce_dim, here.reduce_dim),
        }
    }
}

impl<E: Executor> Gateway<E> {
    /// The set under a key; `None` if there is none.
    pub(crate) async fn set_info(&self, auth: &Auth, collection: &str) -> Result<Option<SetInfo>, Status> {
        let replies = self.run(auth, vec![OwnedArgv::from_slices(&["VINFO", collection])]).await;
        let replies = replies.map_err(|failure| failure.into_status(|_| Site { collection, ..Site::default() }))?;
        Ok(replies.into_iter().next().and_then(SetInfo::parse))
    }
}
