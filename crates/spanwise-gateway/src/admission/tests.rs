use super::*;

fn admission(max_in_flight: usize, max_waiting: usize) -> Arc<Admission> {
    let max_wait = Duration::from_secs(2);
    Arc::new(Admission::new(AdmissionPolicy { max_in_flight, max_waiting, max_wait }))
}

#[tokio::test(start_paused = true)]
async fn those_over_the_limit_wait_in_order_and_one_too_many_is_told_at_once() {
    let admission = admission(1, 2);
    let first = admission.enter(None).await.unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let waiters: Vec<_> = (0..2)
        .map(|n| {
            let (admission, order) = (admission.clone(), order.clone());
            tokio::spawn(async move {
                let admitted = admission.enter(None).await.unwrap();
                order.lock().unwrap().push(n);
                drop(admitted);
            })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!((admission.in_flight(), admission.waiting()), (1, 2));
    assert_eq!(admission.enter(None).await.unwrap_err(), NotAdmitted::Full);
    assert_eq!(admission.waiting(), 2);
    drop(first);
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1]);
    assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_past_the_longest_wait_or_the_deadline() {
    let admission = admission(1, 10);
    let _first = admission.enter(None).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(admission.enter(None).await.unwrap_err(), NotAdmitted::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 2);
    let deadline = tokio::time::Instant::now() + Duration::from_millis(300);
    let refused = admission.enter(Some(deadline.into_std())).await.unwrap_err();
    assert_eq!(refused, NotAdmitted::TimedOut);
    assert!(tokio::time::Instant::now() < deadline + Duration::from_millis(10));
    assert_eq!(admission.retry_after_seconds(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_its_place() {
    let admission = admission(1, 1);
    let first = admission.enter(None).await.unwrap();
    let waiter = tokio::spawn({
        let admission = admission.clone();
        async move { admission.enter(None).await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert_eq!(admission.waiting(), 1);
    waiter.abort();
    assert!(waiter.await.unwrap_err().is_cancelled());
    assert_eq!(admission.waiting(), 0);
    drop(first);
    assert!(admission.enter(None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn draining_refuses_the_new_and_the_waiting_and_lets_the_others_finish() {
    let admission = admission(1, 10);
    let first = admission.enter(None).await.unwrap();
    let waiter = tokio::spawn({
        let admission = admission.clone();
        async move { admission.enter(None).await.map(drop) }
    });
    let idle = tokio::spawn({
        let admission = admission.clone();
        async move { admission.idle().await }
    });
    tokio::task::yield_now().await;
    admission.drain();
    assert!(admission.is_draining());
    assert_eq!(waiter.await.unwrap(), Err(NotAdmitted::Draining));
    assert_eq!(admission.enter(None).await.unwrap_err(), NotAdmitted::Draining);
    assert!(!idle.is_finished());
    drop(first);
    idle.await.unwrap();
    admission.idle().await;
}

#[test]
fn threads_never_exceed_the_limit() {
    let admission = admission(4, 1_000);
    let most = AtomicUsize::new(0);
    let n_served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for _ in 0..100 {
                        let _admitted = admission.enter(None).await.unwrap();
                        most.fetch_max(admission.in_flight(), Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        n_served.fetch_add(1, Ordering::SeqCst);
                    }
                });
            });
        }
    });
    assert_eq!(n_served.load(Ordering::SeqCst), 800);
    // The count goes up just after and down just before the room is given on, one by one.
    assert!(most.load(Ordering::SeqCst) <= 4);
    assert_eq!(admission.in_flight(), 0);
}
