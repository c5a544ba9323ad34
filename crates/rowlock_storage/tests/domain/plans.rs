//! How the database finds rows in tables that nothing is known of yet.

use crate::support::{ALICE, Rig, eventually, key, service, user};
use rowlock_storage::Access;

/// Until a table is analysed, every index looks as good as any other to the planner, also one that
/// knows the bucket and not the name: each upload would read the whole bucket.
#[tokio::test]
async fn a_new_tables_rows_are_found_by_name() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("one").await;
    for i in 0..40 {
        for ctx in [user(ALICE), service()] {
            let name = format!("a/{i}");
            rig.put(&ctx, &bucket, &name, b"x").await.unwrap();
            for access in [Access::Caller, Access::Anyone] {
                let _ = rig.storage.open(&ctx, &bucket, &key(&name), access).await;
            }
            rig.get(&ctx, &bucket, &name).await.unwrap();
            rig.storage.find_object(&ctx, &bucket, &key("none")).await.unwrap_err();
        }
    }
    rig.storage.delete_object(&user(ALICE), &bucket, &key("a/1")).await.unwrap();
    let entries_per_scan = "SELECT (sum(idx_tup_read) / sum(idx_scan))::int::text
        FROM pg_stat_user_indexes WHERE relname = 'objects' HAVING sum(idx_scan) > 400";
    // Each connection tells what it did when it has nothing to do.
    let counted = || async { !rig.texts(entries_per_scan).await.is_empty() };
    assert!(eventually(counted).await, "nothing was counted");
    // Forty at most, where the bucket was read.
    let read: u32 = rig.text(entries_per_scan).await.parse().unwrap();
    assert!(read <= 2, "{read} entries of an index for each row that was looked for");
}
