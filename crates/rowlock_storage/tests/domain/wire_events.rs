//! What events cost on the wire: never a trip.

use crate::support::proxy::Travelled;
use crate::support::{ALICE, Plan, Rig, key, new_object, service, user};
use crate::wire::Counted;
use rowlock_storage::{Context, Expected, MoveRequest, WriteCondition};
use rowlock_types::BucketName;

/// Trips and statements.
type Cost = (u32, u32);

/// Work, and what it costs without and with events.
const TABLE: [(&str, Cost, Cost); 5] = [
    ("receive", (1, 6), (1, 7)),
    ("receive, new only", (1, 5), (1, 7)),
    ("move_object", (2, 13), (2, 14)),
    ("delete_object", (1, 7), (1, 10)),
    ("remove_objects, 100 names", (1, 5), (1, 8)),
];

async fn measure(rig: &Rig, bucket: &BucketName, ctx: &Context) -> Vec<(&'static str, Travelled)> {
    let storage = &rig.storage;
    let mut counted = Counted { rig, found: Vec::new() };
    for (name, condition) in
        [("receive", WriteCondition::None), ("receive, new only", WriteCondition::Create)]
    {
        let mut ready = Vec::new();
        for i in 0..4 {
            let new = new_object(bucket, &format!("{name}{i}"), 1);
            let new = rowlock_storage::NewObject { condition: condition.clone(), ..new };
            ready.push(storage.begin_upload(ctx, new).await.unwrap());
        }
        counted
            .count(name, async || {
                let body = crate::support::body(b"x");
                ready.pop().unwrap().receive(body, Expected::default()).await.unwrap();
            })
            .await;
    }
    let mut number = 0;
    counted
        .count("move_object", async || {
            let from = format!("receive{number}");
            number += 1;
            let to_key = key(&format!("moved{number}"));
            let (to_bucket, bucket) = (bucket.clone(), bucket.clone());
            let request = MoveRequest { bucket, name: from, to_bucket, to_key };
            storage.move_object(ctx, request).await.unwrap();
        })
        .await;
    let mut left = 4;
    counted
        .count("delete_object", async || {
            storage.delete_object(ctx, bucket, &key(&format!("moved{left}"))).await.unwrap();
            left -= 1;
        })
        .await;
    let names: Vec<String> = (0..100).map(|i| format!("none{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    counted
        .count("remove_objects, 100 names", async || {
            storage.remove_objects(ctx, bucket, &names).await.unwrap();
        })
        .await;
    counted.found
}

#[tokio::test]
async fn events_make_no_trip() {
    let mut found = Vec::new();
    for events in [false, true] {
        let plan = Plan { proxied: true, connections: 1, lanes: 1, events, ..Plan::default() };
        let rig = Rig::with(plan).await;
        rig.open_policy().await;
        let bucket = rig.bucket("b").await;
        // The bucket's and the connection's first use.
        rig.put(&service(), &bucket, "first", b"x").await.unwrap();
        found.push(measure(&rig, &bucket, &user(ALICE)).await);
    }
    let lines = found[0].iter().zip(&found[1]).map(|(without, with)| {
        let of = |cost: &Travelled| (cost.trips, cost.statements);
        (without.0, of(&without.1), of(&with.1))
    });
    assert_eq!(lines.collect::<Vec<_>>(), TABLE);
}
