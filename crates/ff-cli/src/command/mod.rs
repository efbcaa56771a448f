//! The commands, by noun.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod budget;
pub(crate) mod bulk;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod flow;
pub(crate) mod lane;
pub(crate) mod quota;
pub(crate) mod submit;
pub(crate) mod task;
pub(crate) mod verify;
pub(crate) mod wait;
pub(crate) mod work;
pub(crate) mod worker;
