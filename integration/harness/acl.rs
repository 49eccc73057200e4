//! Rights at a broker with an authorizer. A topic or group for which nobody has any is everybody's, see
//! [`super::guarded`]; with the first one given it is closed to all others.
#![expect(unsafe_code, reason = "the rdkafka crate has no call for it")]

use std::ffi::{CStr, CString, c_char};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka_sys as sys;
use rdkafka_sys::{
    rd_kafka_AclOperation_t as Operation, rd_kafka_AclPermissionType_t as Permission,
    rd_kafka_ResourcePatternType_t as Pattern, rd_kafka_ResourceType_t as Resource,
};

use super::kafka::Kafka;
use super::wait::SOON;

/// What may be done.
#[derive(Debug, Clone, Copy)]
pub enum Right<'a> {
    DescribeTopic(&'a str),
    /// With which Kafka gives the right to describe it.
    ReadTopic(&'a str),
    ReadGroup(&'a str),
}

impl Right<'_> {
    fn parts(self) -> (Resource, Operation) {
        match self {
            Self::DescribeTopic(_) => (Resource::RD_KAFKA_RESOURCE_TOPIC, Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE),
            Self::ReadTopic(_) => (Resource::RD_KAFKA_RESOURCE_TOPIC, Operation::RD_KAFKA_ACL_OPERATION_READ),
            Self::ReadGroup(_) => (Resource::RD_KAFKA_RESOURCE_GROUP, Operation::RD_KAFKA_ACL_OPERATION_READ),
        }
    }

    fn name(&self) -> &str {
        let (Self::DescribeTopic(name) | Self::ReadTopic(name) | Self::ReadGroup(name)) = self;
        name
    }
}

impl Kafka {
    /// Gives a user a right.
    pub fn allow(&self, user: &str, right: Right<'_>) {
        let (resource, operation) = right.parts();
        let text = |text: &str| CString::new(text).expect("it has no NUL");
        let (name, principal, host) = (text(right.name()), text(&format!("User:{user}")), text("*"));
        let client: BaseConsumer = self.client().create().expect("the client's settings are right");
        let rk = client.client().native_ptr();
        let mut refusal = [0 as c_char; 512];
        // SAFETY: everything made here is destroyed here after its last use, while the client lives; librdkafka copies
        // names and binding. Results and their errors belong to the event.
        let refused = unsafe {
            let mut binding = sys::rd_kafka_AclBinding_new(
                resource,
                name.as_ptr(),
                Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                principal.as_ptr(),
                host.as_ptr(),
                operation,
                Permission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW,
                refusal.as_mut_ptr(),
                refusal.len(),
            );
            let answers = sys::rd_kafka_queue_new(rk);
            sys::rd_kafka_CreateAcls(rk, &raw mut binding, 1, std::ptr::null(), answers);
            let wait = i32::try_from(SOON.as_millis()).expect("a minute is short");
            let event = sys::rd_kafka_queue_poll(answers, wait);
            assert!(!event.is_null(), "the broker answers");
            let refused = refusal_of(event);
            sys::rd_kafka_event_destroy(event);
            sys::rd_kafka_queue_destroy(answers);
            sys::rd_kafka_AclBinding_destroy(binding);
            refused
        };
        assert!(refused.is_empty(), "User:{user} cannot be given {right:?}: {refused}");
    }
}

/// What the answer says against it; empty if nothing.
///
/// # Safety
/// The event is alive.
unsafe fn refusal_of(event: *mut sys::rd_kafka_event_t) -> String {
    let text = |text: *const c_char| {
        // SAFETY: librdkafka's texts are C strings that live as long as the event.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    };
    let mut count = 0;
    // SAFETY: results and their errors belong to the event; an answer to one binding has one result.
    unsafe {
        if sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return text(sys::rd_kafka_event_error_string(event));
        }
        let results =
            sys::rd_kafka_CreateAcls_result_acls(sys::rd_kafka_event_CreateAcls_result(event), &raw mut count);
        let error = sys::rd_kafka_acl_result_error(*results);
        if error.is_null() { String::new() } else { text(sys::rd_kafka_error_string(error)) }
    }
}
