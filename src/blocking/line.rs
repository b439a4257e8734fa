//! What operators see of a line, and do to it.

/// The calls that every handle to a line has, and `forget` where its line remembers something.
macro_rules! line {
    ($handle:ident) => {
        impl $handle {
            /// Who is in line, who was granted, since when.
            ///
            /// # Errors
            ///
            /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
            pub fn inspect(&self) -> $crate::Result<$crate::Line> {
                self.0.wait("inspect", $crate::$handle::inspect)
            }

            /// Removes somebody's claim by force; see
            #[doc = concat!("[`evict`](crate::", stringify!($handle), "::evict).")]
            ///
            /// # Errors
            ///
            /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
            pub fn evict(&self, claim: $crate::ClaimId) -> $crate::Result<bool> {
                self.0.wait("evict", |handle| handle.evict(claim))
            }
        }
    };
    ($handle:ident, forget) => {
        crate::blocking::line::line!($handle);

        impl $handle {
            /// Forgets all that it left in the store; see
            #[doc = concat!("[`forget`](crate::", stringify!($handle), "::forget).")]
            ///
            /// # Errors
            ///
            /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
            pub fn forget(&self) -> $crate::Result<()> {
                self.0.wait("forget", $crate::$handle::forget)
            }
        }
    };
}
pub(super) use line;
