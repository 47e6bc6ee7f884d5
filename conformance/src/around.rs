//! A store around a store, without writing down what it only passes on.

/// A store around another, in its field `store`, of which only the calls that are written down differ. The others go
/// through `self.pass()`, and those that change single sessions or a principal's through `self.pass_write()`.
macro_rules! store_around {
    ($name:ident, { $($own:tt)* }) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.store.fmt(f)
            }
        }

        #[async_trait]
        impl Store for $name {
            fn backend(&self) -> &'static str {
                self.store.backend()
            }
            fn capabilities(&self) -> Capabilities {
                self.store.capabilities()
            }
            fn key_format(&self) -> KeyFormat {
                self.store.key_format()
            }
            fn gathering(&self) -> Gathering {
                self.store.gathering()
            }
            async fn rotate(&self, rotate: &Rotate, now: Timestamp) -> Result<Rotated> {
                self.pass_write().await?.rotate(rotate, now).await
            }
            async fn fate(&self, key: &SessionKey, now: Timestamp) -> Result<Fate> {
                self.pass().await.fate(key, now).await
            }
            async fn destroy_principal(&self, destroy: &DestroyPrincipal, now: Timestamp) -> Result<u64> {
                self.pass_write().await?.destroy_principal(destroy, now).await
            }
            async fn forget_principal(&self, principal: &Principal, now: Timestamp) -> Result<u64> {
                self.pass_write().await?.forget_principal(principal, now).await
            }
            async fn purge_expired(&self, now: Timestamp, limit: NonZeroU32) -> Result<u64> {
                self.pass().await.purge_expired(now, limit).await
            }
            async fn list(
                &self,
                filter: &Filter,
                after: Option<&SessionKey>,
                limit: NonZeroU32,
                now: Timestamp,
            ) -> Result<Vec<Listed>> {
                self.pass().await.list(filter, after, limit, now).await
            }
            async fn count(&self, filter: &Filter, now: Timestamp) -> Result<u64> {
                self.pass().await.count(filter, now).await
            }
            async fn clear(&self) -> Result<u64> {
                self.pass().await.clear().await
            }
            async fn server_time(&self) -> Result<Timestamp> {
                self.pass().await.server_time().await
            }
            async fn diagnose(&self) -> Result<Vec<Finding>> {
                self.pass().await.diagnose().await
            }
            $($own)*
        }
    };
}

pub(crate) use store_around;
