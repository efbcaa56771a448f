//! Narrowing a subscription or a sweep to one tenant or one instance.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use crate::types::Namespace;

/// Keeps what equals every dimension that is set; an unset dimension keeps everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScannerFilter {
    pub namespace: Option<Namespace>,
    /// A tag key and the value it must have.
    pub instance_tag: Option<(String, String)>,
}

impl ScannerFilter {
    /// Keeps everything.
    pub const NOOP: Self = Self { namespace: None, instance_tag: None };

    #[must_use]
    pub const fn new() -> Self {
        Self::NOOP
    }

    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<Namespace>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    #[must_use]
    pub fn with_instance_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.instance_tag = Some((key.into(), value.into()));
        self
    }

    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.namespace.is_none() && self.instance_tag.is_none()
    }

    /// Whether an execution of this namespace, with this value under the filter's tag key, is kept.
    /// A missing value fails the dimension that asks for it.
    #[must_use]
    pub fn matches(&self, core_namespace: Option<&Namespace>, tag_value: Option<&str>) -> bool {
        let namespace_fits =
            self.namespace.as_ref().is_none_or(|wanted| core_namespace == Some(wanted));
        let tag_fits =
            self.instance_tag.as_ref().is_none_or(|(_, wanted)| tag_value == Some(wanted.as_str()));
        namespace_fits && tag_fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_what_equals_every_dimension_that_is_set() {
        let tenant = Namespace::new("a");
        assert!(ScannerFilter::NOOP.is_noop() && ScannerFilter::NOOP.matches(None, None));

        let by_tenant = ScannerFilter::new().with_namespace("a");
        assert!(by_tenant.matches(Some(&tenant), None));
        assert!(!by_tenant.matches(Some(&Namespace::new("b")), None));
        assert!(!by_tenant.matches(None, None));

        let by_both = by_tenant.with_instance_tag("app.instance", "x");
        assert!(by_both.matches(Some(&tenant), Some("x")));
        assert!(!by_both.matches(Some(&tenant), Some("y")));
        assert!(!by_both.matches(Some(&tenant), None));
    }
}
