//! Full mailboxes, and the record of how full they are.

use super::*;

#[test]
fn quotas_in_octets_and_messages_hold() {
    let place = Place::new();
    let size = 40;
    let cases = [
        (
            Quota {
                bytes: 2 * size,
                messages: 0,
            },
            2,
        ),
        (
            Quota {
                bytes: 2 * size + 1,
                messages: 0,
            },
            2,
        ),
        (
            Quota {
                bytes: 3 * size - 1,
                messages: 0,
            },
            2,
        ),
        (
            Quota {
                bytes: 0,
                messages: 3,
            },
            3,
        ),
        (
            Quota {
                bytes: 1000 * size,
                messages: 1,
            },
            1,
        ),
    ];
    for (at, (quota, fits)) in cases.into_iter().enumerate() {
        let location = Location {
            quota,
            ..place.location(&format!("quota{at}"), Format::Maildir)
        };
        // 16 octets of prefix and 24 of content, stored.
        let content = b"0123456789012345678901\r\n\r\n";
        let delivery = Delivery {
            location: &location,
            prefix: PREFIX,
            content: Content::Bytes(content),
            sender: "",
        };
        let results = place.deliverer.deliver_batch(&[delivery; 5]);
        let delivered = results.iter().filter(|result| result.is_ok()).count() as u64;
        assert_eq!(delivered, fits, "case {at}");
        assert!(
            matches!(results[4], Err(MailboxError::OverQuota { .. })),
            "case {at}"
        );
        let usage = place.deliverer.usage(&location).unwrap();
        assert_eq!(
            usage,
            Usage {
                bytes: fits * size,
                messages: fits
            },
            "case {at}"
        );
        assert!(names(&location.path.join("tmp")).is_empty(), "case {at}");
        let record = fs::read_to_string(location.path.join("maildirsize")).unwrap();
        assert!(record.starts_with(&format!("{quota}\n")), "{record}");
    }
}

#[test]
fn the_record_of_usage_is_made_anew_when_it_cannot_be_right() {
    let place = Place::new();
    let quota = Quota {
        bytes: 100,
        messages: 0,
    };
    let location = Location {
        quota,
        ..place.location("Maildir", Format::Maildir)
    };
    place.deliver(&location, MESSAGE).unwrap();
    let stored = 39;
    let record = location.path.join("maildirsize");
    fs::create_dir_all(location.path.join(".Sent/cur")).unwrap();
    fs::write(
        location.path.join(".Sent/cur/1.a,S=7:2,S"),
        "size is in the name",
    )
    .unwrap();
    fs::write(location.path.join(".Sent/cur/2.a"), "three").unwrap();
    let counted = stored + 7 + 5;
    let broken = [
        "100S\nx y\n",
        "100S\n-5 -1\n",
        "100S\n5 1",
        "100S\n",
        "99S\n1 1\n",
        "",
        "100S\n1 1 1\n",
    ];
    for text in broken {
        fs::write(&record, text).unwrap();
        let usage = place.deliverer.usage(&location).unwrap();
        assert_eq!((usage.bytes, usage.messages), (counted, 3), "{text:?}");
        assert_eq!(
            fs::read_to_string(&record).unwrap(),
            format!("100S\n{counted} 3\n")
        );
    }
    fs::write(&record, format!("100S\n{}", "1 1\n".repeat(2000))).unwrap();
    assert_eq!(place.deliverer.usage(&location).unwrap().bytes, counted);
    // A good record is believed …
    fs::write(&record, "100S\n           60           2\n").unwrap();
    assert_eq!(place.deliverer.usage(&location).unwrap().bytes, 60);
    // … also when it says full, unless it has several lines and so may be out of date.
    fs::write(&record, "100S\n99 2\n").unwrap();
    assert!(place.deliver(&location, MESSAGE).is_err());
    fs::write(&record, "100S\n98 1\n1 1\n").unwrap();
    place.deliver(&location, MESSAGE).unwrap();
    assert_eq!(
        fs::read_to_string(&record).unwrap(),
        format!("100S\n{counted} 3\n{stored} 1\n")
    );
}

#[test]
fn without_a_quota_usage_is_counted_and_not_recorded() {
    let place = Place::new();
    let location = place.location("Maildir", Format::Maildir);
    let nothing = Usage::default();
    assert_eq!(place.deliverer.usage(&location).unwrap(), nothing);
    place.deliver(&location, MESSAGE).unwrap();
    assert_eq!(place.deliverer.usage(&location).unwrap().messages, 1);
    assert!(!location.path.join("maildirsize").exists());
}

#[test]
fn an_mbox_has_quotas_too() {
    let place = Place::new();
    let mut location = place.location("mbox", Format::Mbox);
    location.quota.messages = 2;
    place.deliver(&location, MESSAGE).unwrap();
    place.deliver(&location, MESSAGE).unwrap();
    let before = fs::read(&location.path).unwrap();
    let error = place.deliver(&location, MESSAGE).unwrap_err();
    assert!(matches!(error, MailboxError::OverQuota { .. }), "{error}");
    location.quota = Quota {
        bytes: before.len() as u64 + 20,
        messages: 0,
    };
    let error = place.deliver(&location, MESSAGE).unwrap_err();
    assert!(matches!(error, MailboxError::OverQuota { .. }), "{error}");
    assert_eq!(fs::read(&location.path).unwrap(), before, "cut back");
}
