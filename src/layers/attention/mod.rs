//! Attention: layers of heads, of Luong and of Bahdanau, positions, and the blocks of transformers.

mod attend;
mod block;
mod cached;
mod embedding;
mod grouped;
mod heads;
mod multi_head;
mod plain;
mod position;
mod rotary;
mod transformer;

pub use cached::CachedMultiHeadAttention;
pub use embedding::ReversibleEmbedding;
pub use grouped::GroupedQueryAttention;
pub use multi_head::MultiHeadAttention;
pub use plain::{AdditiveAttention, Attention, ScoreMode};
pub use position::{PositionEmbedding, SinePositionEncoding};
pub use rotary::RotaryEmbedding;
pub use transformer::{TransformerDecoder, TransformerEncoder};
