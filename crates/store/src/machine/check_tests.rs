use super::*;

fn put_op(key: &'static str) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: key.into(), ..Default::default() }))
}

fn delete_op(key: &'static str, end: &'static str) -> RequestOp {
    op(Request::RequestDeleteRange(DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false }))
}

fn txn_op(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(Request::RequestTxn(TxnRequest { compare: vec![], success, failure }))
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn check(success: Vec<RequestOp>) -> Result<(), Failure> {
    txn(&TxnRequest { compare: vec![], success, failure: vec![] })
}

#[test]
fn a_key_is_written_once() {
    assert_eq!(check(vec![put_op("a"), put_op("b")]), Ok(()));
    assert_eq!(check(vec![put_op("a"), put_op("a")]), Err(Failure::DuplicateKey));
    assert_eq!(check(vec![put_op("b"), delete_op("a", "c")]), Err(Failure::DuplicateKey));
    assert_eq!(check(vec![delete_op("a", "c"), delete_op("b", "d")]), Ok(()));
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![]), put_op("a")]), Err(Failure::DuplicateKey));
    assert_eq!(check(vec![txn_op(vec![put_op("a")], vec![put_op("a")])]), Ok(()));
    assert_eq!(
        check(vec![txn_op(vec![put_op("a")], vec![]), txn_op(vec![], vec![put_op("a")])]),
        Err(Failure::DuplicateKey)
    );
}

#[test]
fn operations_are_counted_along_a_path() {
    let keys: Vec<&'static str> = (0..200).map(|n| &*Box::leak(format!("{n}").into_boxed_str())).collect();
    let puts = |n: usize| keys[..n].iter().map(|key| put_op(key)).collect::<Vec<_>>();
    assert_eq!(check(puts(128)), Ok(()));
    assert_eq!(check(puts(129)), Err(Failure::TooManyOps));
    assert_eq!(check(vec![txn_op(puts(127), vec![])]), Ok(()));
    assert_eq!(check(vec![txn_op(puts(128), vec![])]), Err(Failure::TooManyOps));
}

#[test]
fn keys_and_options_are_checked() {
    assert_eq!(check(vec![put_op("")]), Err(Failure::EmptyKey));
    assert_eq!(check(vec![RequestOp { request: None }]), Err(Failure::KeyNotFound));
    let with_value = PutRequest { key: "a".into(), value: "v".into(), ignore_value: true, ..Default::default() };
    assert_eq!(put(&with_value), Err(Failure::ValueProvided));
    let with_lease = PutRequest { key: "a".into(), lease: 1, ignore_lease: true, ..Default::default() };
    assert_eq!(put(&with_lease), Err(Failure::LeaseProvided));
    let sort = RangeRequest { key: "a".into(), sort_order: 9, ..Default::default() };
    assert_eq!(range(&sort), Err(Failure::InvalidSort));
}

#[test]
fn deletions_to_the_end_of_all_keys_are_overlooked() {
    assert_eq!(check(vec![put_op("b"), delete_op("a", "\0")]), Ok(()));
    assert_eq!(check(vec![txn_op(vec![delete_op("a", "\0")], vec![]), put_op("b")]), Ok(()));
    let keep = |key: &'static str| {
        op(Request::RequestPut(PutRequest { key: key.into(), ignore_value: true, ..Default::default() }))
    };
    assert_eq!(check(vec![keep("b"), delete_op("a", "\0")]), Err(Failure::DuplicateKey));
    assert_eq!(check(vec![keep("a"), delete_op("b", "\0")]), Ok(()));
    assert_eq!(check(vec![txn_op(vec![delete_op("a", "\0")], vec![]), keep("b")]), Err(Failure::DuplicateKey));
}
