// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The methods of Rest.li. A method is more than its HTTP verb (a search and a read are both `GET`), so it has a header
//! of its own.

use crate::ports::Method;

/// A Rest.li method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestMethod {
    /// Reads one entity.
    Get,
    /// Reads several entities by their ids.
    BatchGet,
    /// Reads a page of all entities.
    GetAll,
    /// Searches with a named finder, `q=…`.
    Finder,
    /// Searches with a named finder and several criteria, `bq=…`.
    BatchFinder,
    /// Creates one entity.
    Create,
    /// Creates several entities.
    BatchCreate,
    /// Patches one entity.
    PartialUpdate,
    /// Patches several entities.
    BatchPartialUpdate,
    /// Runs a named action, `action=…`.
    Action,
    /// Replaces one entity.
    Update,
    /// Replaces several entities.
    BatchUpdate,
    /// Deletes one entity.
    Delete,
    /// Deletes several entities by their ids.
    BatchDelete,
}

impl RestMethod {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Get,
        Self::BatchGet,
        Self::GetAll,
        Self::Finder,
        Self::BatchFinder,
        Self::Create,
        Self::BatchCreate,
        Self::PartialUpdate,
        Self::BatchPartialUpdate,
        Self::Action,
        Self::Update,
        Self::BatchUpdate,
        Self::Delete,
        Self::BatchDelete,
    ];

    /// The HTTP verb. A patch is a `POST`; Rest.li never sends `PATCH`.
    pub const fn verb(self) -> Method {
        match self {
            Self::Get | Self::BatchGet | Self::GetAll | Self::Finder | Self::BatchFinder => Method::Get,
            Self::Create | Self::BatchCreate | Self::PartialUpdate | Self::BatchPartialUpdate | Self::Action => {
                Method::Post
            }
            Self::Update | Self::BatchUpdate => Method::Put,
            Self::Delete | Self::BatchDelete => Method::Delete,
        }
    }

    /// The value of the header `X-RestLi-Method`. Lower case, as the framework's own clients send it; the server takes
    /// either.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::BatchGet => "batch_get",
            Self::GetAll => "get_all",
            Self::Finder => "finder",
            Self::BatchFinder => "batch_finder",
            Self::Create => "create",
            Self::BatchCreate => "batch_create",
            Self::PartialUpdate => "partial_update",
            Self::BatchPartialUpdate => "batch_partial_update",
            Self::Action => "action",
            Self::Update => "update",
            Self::BatchUpdate => "batch_update",
            Self::Delete => "delete",
            Self::BatchDelete => "batch_delete",
        }
    }
}
