//! What an administrator can see and do.

use ipc::protocol::{
    MessageState, MessageSummary, QueueControlReply, QueueControlRequest, Selection,
};
use mail_types::{Outcome, QueueId};

use crate::house::{CONTENT, House};

async fn list(house: &House, selection: Selection, after: Option<QueueId>) -> Vec<MessageSummary> {
    let list = QueueControlRequest::List {
        selection,
        after,
        limit: 2,
    };
    match house.control(list).await {
        QueueControlReply::Messages { messages, .. } => messages,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn new_mail_can_begin_on_hold_and_be_released() {
    let house = House::open_with(|settings| settings.hold_new = true);
    let mut agent = house.agent(4).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            house
                .submit("alice@example.org", &["bob@example.org"])
                .await,
        );
    }
    let page = list(&house, Selection::State(MessageState::Hold), None).await;
    assert_eq!(
        page.iter().map(|m| m.queue_id).collect::<Vec<_>>(),
        ids[..2]
    );
    assert_eq!(page[0].recipients[0].address.to_string(), "bob@example.org");
    let page = list(&house, Selection::All, Some(ids[1])).await;
    assert_eq!(page[0].queue_id, ids[2]);

    let release = QueueControlRequest::Release(Selection::Message(ids[1]));
    assert_eq!(house.control(release).await, QueueControlReply::Changed(1));
    let (work, _) = agent.work().await;
    assert_eq!(work.queue_id, ids[1]);
    agent.done(&work, &Outcome::delivered("INBOX"));
    house
        .until("two on hold", |status| {
            status.hold == 2 && status.active == 0
        })
        .await;
    let delete = QueueControlRequest::Delete(Selection::All);
    assert_eq!(house.control(delete).await, QueueControlReply::Changed(2));
    house.until_empty().await;
}

#[tokio::test]
async fn active_mail_can_be_held_and_deleted() {
    let house = House::open();
    let queue_id = house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    house.until("active", |status| status.active == 1).await;
    let active = list(&house, Selection::State(MessageState::Active), None).await;
    assert_eq!(active[0].queue_id, queue_id);
    let hold = QueueControlRequest::Hold(Selection::State(MessageState::Active));
    assert_eq!(house.control(hold).await, QueueControlReply::Changed(1));
    let status = house.status().await;
    assert_eq!((status.active, status.hold), (0, 1));
    let mut agent = house.agent(1).await;
    let release = QueueControlRequest::Release(Selection::All);
    assert_eq!(house.control(release).await, QueueControlReply::Changed(1));
    let (work, _) = agent.work().await;
    let delete = QueueControlRequest::Delete(Selection::Message(queue_id));
    assert_eq!(house.control(delete).await, QueueControlReply::Changed(1));
    agent.done(&work, &Outcome::failed(1, 1, "no such user"));
    house.until_empty().await;
}

#[tokio::test]
async fn deferred_mail_can_be_flushed() {
    let house = House::open_with(|settings| {
        settings.policy.min_retry = std::time::Duration::from_secs(600);
        settings.policy.max_retry = std::time::Duration::from_secs(600);
    });
    house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let mut agent = house.agent(1).await;
    agent.end_next(&Outcome::deferred(4, 1, "later")).await;
    house.until("deferred", |status| status.deferred == 1).await;
    let deferred = list(&house, Selection::State(MessageState::Deferred), None).await;
    let recipient = &deferred[0].recipients[0];
    assert_eq!(recipient.last_reply.as_deref(), Some("4.4.1 later"));
    assert_eq!(recipient.attempts, 1);
    assert!(recipient.next_attempt.is_some());
    let flush = QueueControlRequest::Flush(Selection::All);
    assert_eq!(house.control(flush).await, QueueControlReply::Changed(1));
    // Other mailboxes are as before; this one is left alone for its pause, unless asked.
    agent.deliver_next().await;
    house.until_empty().await;
}

#[tokio::test]
async fn content_is_shown_and_what_is_not_there_is_said_so() {
    let house = House::open_with(|settings| settings.hold_new = true);
    let queue_id = house
        .submit("alice@example.org", &["bob@example.org"])
        .await;
    let shown = house
        .control_frame(QueueControlRequest::Show { queue_id })
        .await;
    assert_eq!(shown.message, QueueControlReply::Content);
    assert_eq!(&shown.payload[..], CONTENT);
    let other = QueueId(1);
    for request in [
        QueueControlRequest::Show { queue_id: other },
        QueueControlRequest::Hold(Selection::Message(other)),
        QueueControlRequest::List {
            selection: Selection::Message(other),
            after: None,
            limit: 1,
        },
    ] {
        assert_eq!(house.control(request).await, QueueControlReply::NotFound);
    }
}

#[tokio::test]
async fn others_are_denied() {
    let house = House::open_with(|settings| settings.access = queue_manager::Access::default());
    let reply = house.control(QueueControlRequest::Status).await;
    let expected = sandbox::ids::is_root();
    assert_eq!(reply != QueueControlReply::Denied, expected, "{reply:?}");
}
