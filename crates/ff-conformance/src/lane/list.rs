//! Listing lanes.

use ff_core::types::LaneId;

use crate::harness::Bench;

pub async fn lanes_are_listed_by_name_in_pages(bench: &Bench) {
    let names = ["a", "b", "c", "d", "e"];
    for name in ["c", "a", "e", "b", "d", "a"] {
        bench.submit().lane(name).await;
    }

    for limit in [1, 2, 3, 5, 6] {
        let (mut found, mut cursor) = (Vec::new(), None::<LaneId>);
        loop {
            let page = bench.engine.list_lanes(cursor, limit).await.unwrap();
            assert!(page.lanes.len() <= limit);
            found.extend(page.lanes.iter().map(|lane| lane.as_str().to_owned()));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, names, "pages of {limit}");
    }
}

pub async fn a_page_of_nothing_is_empty(bench: &Bench) {
    bench.submit().await;

    let page = bench.engine.list_lanes(None, 0).await.unwrap();

    assert!(page.lanes.is_empty() && page.next_cursor.is_none());
}

pub async fn without_work_there_is_no_lane(bench: &Bench) {
    let page = bench.engine.list_lanes(None, 10).await.unwrap();

    assert!(page.lanes.is_empty() && page.next_cursor.is_none());
}
