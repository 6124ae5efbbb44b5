//! Many connections, and clients that do not take their answers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

use super::*;

/// Maximum time for a probe while others crowd the process. It is shorter than the
/// 10 seconds after which those that crowd it are cut off.
const PROBE: Duration = Duration::from_secs(8);

async fn crowded(fake: Fake, limits: Limits) -> Server {
    serve_within(fake, Duration::from_mins(1), true, Authority::None, limits).await
}

/// Connects, and sends this.
async fn opened(server: &Server, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// Asks the probes, each of which has to answer soon.
async fn probe(server: &Server) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = timeout(PROBE, server.get(path)).await;
        assert_eq!(answer.expect(path).status, 200, "{path}");
    }
}

/// The status of the answer on a connection that stays open.
async fn status(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    head.split(' ').nth(1).unwrap().to_owned()
}

/// Returns `true` if the server has closed the connection. Bytes that it sent are
/// discarded.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(SOON, stream.read_to_end(&mut rest)).await.is_ok()
}

/// Lets the test open as many files as the system allows.
fn many_files() {
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: now.maximum,
        ..now
    };
    setrlimit(Resource::Nofile, most).unwrap();
}

#[tokio::test]
async fn probes_answer_while_600_clients_keep_connections() {
    many_files();
    let server = crowded(Fake::default(), Limits::default()).await;
    for sent in [
        "",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\nx",
        "POST /admin/sync HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\nx",
    ] {
        let mut crowd = Vec::new();
        for _ in 0..600 {
            crowd.push(opened(&server, sent).await);
        }
        probe(&server).await;
        let list = timeout(SOON, server.get("/api/v1/definitions")).await;
        let list = list.unwrap().status;
        assert!(
            list == 200 || (list == 503 && sent.contains("admin")),
            "{sent}: {list}"
        );
        drop(crowd);
    }
}

#[tokio::test]
async fn probes_answer_when_every_place_is_busy_and_others_hear_why() {
    let mut limits = Limits::default();
    (limits.room.open, limits.room.share, limits.room.reserve) = (2, 2, 2);
    let fake = Fake {
        slow_sync: Duration::from_mins(1),
        ..Fake::default()
    };
    let server = crowded(fake, limits).await;
    let run = "POST /admin/sync HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let _waits = opened(&server, run).await;
    eventually("the pass to be asked for", async || {
        !server.fake.requests.lock().unwrap().is_empty()
    })
    .await;
    let body = "POST /admin/sync HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n";
    let mut slow = opened(&server, body).await;
    eventually("both to be served", async || server.limiter.busy() == 2).await;
    let refused = server.get("/api/v1/definitions").await;
    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.problem(),
        "too many connections; only the probes and the metrics are served"
    );
    for header in [
        "connection: close",
        "retry-after:",
        "cache-control: no-store",
    ] {
        assert!(refused.head.contains(header), "{}", refused.head);
    }
    probe(&server).await;
    // Who keeps a request waiting gives way after a while; who waits does not.
    eventually("a place for everything", async || {
        server.get("/api/v1/definitions").await.status == 200
    })
    .await;
    assert!(is_closed(&mut slow).await);
}

#[tokio::test]
async fn idle_connections_end_first_and_used_ones_stay() {
    let mut limits = Limits::default();
    (limits.room.open, limits.room.share) = (8, 8);
    let server = crowded(Fake::default(), limits).await;
    let mut used = opened(&server, "").await;
    let mut idle = Vec::new();
    for _ in 0..7 {
        idle.push(opened(&server, "").await);
    }
    for _ in 0..3 {
        used.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(timeout(SOON, status(&mut used)).await.unwrap(), "200");
        let mut body = [0; 3];
        used.read_exact(&mut body).await.unwrap();
        probe(&server).await;
    }
    assert!(is_closed(&mut idle[0]).await);
}

#[tokio::test]
async fn answers_that_nobody_takes_do_not_pile_up() {
    let mut limits = Limits::default();
    let page = 1024 * 1024;
    limits.room.bytes = 4 * page;
    let fake = Fake {
        page: "x".repeat(page),
        ..Fake::default()
    };
    let server = crowded(fake, limits).await;
    let ask = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(50);
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(opened(&server, &ask).await);
    }
    assert!(server.limiter.bytes() <= limits.room.bytes + 100 * 16 * 1024);
    // Those that have not read for a second give way.
    eventually("the metrics", async || {
        server.get("/metrics").await.status == 200
    })
    .await;
    probe(&server).await;
    assert!(server.limiter.bytes() <= limits.room.bytes + 100 * 16 * 1024);
    drop(crowd);
    eventually("nothing to be on its way", async || {
        server.limiter.bytes() == 0
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off_and_a_steady_one_is_not() {
    let mut limits = Limits::default();
    // The silent reader takes less than a second's worth, and the steady one may
    // stand still for seconds on a busy machine.
    limits.min_throughput.grace = Duration::from_secs(5);
    limits.min_throughput.least = 64 * 1024;
    let fake = Fake {
        page: "x".repeat(8 * 1024 * 1024),
        ..Fake::default()
    };
    let server = crowded(fake, limits).await;
    let ask = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let silent = opened(&server, ask).await;
    let mut steady = opened(&server, ask).await;
    let mut read = 0;
    let mut part = vec![0; 256 * 1024];
    let reading = async {
        loop {
            match steady.read(&mut part).await.unwrap() {
                0 => break,
                some => read += some,
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    timeout(SOON, reading).await.unwrap();
    assert!(read > 8 * 1024 * 1024, "{read}");
    eventually("the silent one to be cut off", async || {
        server.limiter.taken() == 0
    })
    .await;
    drop(silent);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_turn() {
    let fake = Fake {
        slow_sync: Duration::from_mins(1),
        ..Fake::default()
    };
    let server = crowded(fake, Limits::default()).await;
    let run = "POST /admin/sync HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let asked = async |number: usize| {
        eventually("the pass to be asked for", async || {
            server.fake.requests.lock().unwrap().len() == number
        })
        .await;
    };
    let first = opened(&server, run).await;
    asked(1).await;
    assert_eq!(server.post("/admin/sync").await.status, 429);
    drop(first);
    eventually("the turn to be free", async || {
        let mut second = opened(&server, run).await;
        let mut answer = [0; 16];
        let read = timeout(Duration::from_millis(200), second.read(&mut answer)).await;
        read.is_err() && server.fake.requests.lock().unwrap().len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_process_without_descriptors_to_spare_serves_on() {
    let limiter = connection_limiter::ConnectionLimiter::new(Limits::default().room);
    let idle = Arc::new(limiter.take([127, 0, 0, 1].into()).unwrap());
    let busy = Arc::new(limiter.take([127, 0, 0, 1].into()).unwrap());
    let _asking = busy.request();
    limiter.give_up_one();
    limiter.give_up_one();
    assert!(timeout(SOON, idle.ended()).await.is_ok());
    assert_eq!(limiter.taken(), 1);
}
