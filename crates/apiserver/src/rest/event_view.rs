//! events.k8s.io/v1 Events: the stored core/v1 Events under other field names.
//!
//! ```text
//! core/v1          involvedObject  message  source            reportingComponent   count
//! events.k8s.io/v1 regarding       note     deprecatedSource  reportingController  deprecatedCount
//! ```

use proto::{core_v1, events_v1};

/// The stored Event as events.k8s.io/v1 shows it.
pub fn shown(event: core_v1::Event) -> events_v1::Event {
    events_v1::Event {
        metadata: event.metadata,
        event_time: event.event_time,
        series: event.series.map(|series| events_v1::EventSeries {
            count: series.count,
            last_observed_time: series.last_observed_time,
        }),
        reporting_controller: event.reporting_component,
        reporting_instance: event.reporting_instance,
        action: event.action,
        reason: event.reason,
        regarding: event.involved_object,
        related: event.related,
        note: event.message,
        r#type: event.r#type,
        deprecated_source: event.source,
        deprecated_first_timestamp: event.first_timestamp,
        deprecated_last_timestamp: event.last_timestamp,
        deprecated_count: event.count,
    }
}

/// What is stored of an Event that was sent as events.k8s.io/v1.
pub fn stored(event: events_v1::Event) -> core_v1::Event {
    core_v1::Event {
        metadata: event.metadata,
        involved_object: event.regarding,
        reason: event.reason,
        message: event.note,
        source: event.deprecated_source,
        first_timestamp: event.deprecated_first_timestamp,
        last_timestamp: event.deprecated_last_timestamp,
        count: event.deprecated_count,
        r#type: event.r#type,
        event_time: event.event_time,
        series: event
            .series
            .map(|series| core_v1::EventSeries { count: series.count, last_observed_time: series.last_observed_time }),
        action: event.action,
        related: event.related,
        reporting_component: event.reporting_controller,
        reporting_instance: event.reporting_instance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_loses_nothing() {
        let event = core_v1::Event {
            involved_object: Some(core_v1::ObjectReference { kind: "Job".into(), ..Default::default() }),
            reason: "Completed".into(),
            message: "Job completed".into(),
            source: Some(core_v1::EventSource { component: "job-controller".into(), ..Default::default() }),
            count: 2,
            r#type: "Normal".into(),
            series: Some(core_v1::EventSeries { count: 3, ..Default::default() }),
            reporting_component: "job-controller".into(),
            ..Default::default()
        };
        let view = shown(event.clone());
        assert_eq!((view.note.as_str(), view.deprecated_count), ("Job completed", 2));
        assert_eq!(stored(view), event);
    }
}
