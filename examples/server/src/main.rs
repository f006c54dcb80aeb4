//! A web server that classifies the images posted to it. No request keeps an executor's thread:
//! decoding has threads of its own, and the device is awaited.
//!
//! ```sh
//! cargo run --release -p ghostnet-server &
//! curl --data-binary @assets/images/chelsea.png http://localhost:3000/classify
//! ```

use anyhow::Result;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use ghostnet::{Class, Engine, EngineOptions, Error, Model, Network, image_input::decode_bytes};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const MOST_BYTES: usize = 20 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let engine = Engine::new_async(EngineOptions::default()).await?;
    println!("on {}", engine.adapter().name);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/classify", listener.local_addr()?);
    Ok(axum::serve(listener, app(engine.load(Network::embedded()?)?)).await?)
}

fn app(model: Model) -> Router {
    // A model is cheap to clone, and runs of several requests go to the device side by side.
    Router::new().route("/classify", post(answer)).layer(DefaultBodyLimit::max(MOST_BYTES)).with_state(model)
}

async fn answer(State(model): State<Model>, body: Bytes) -> (StatusCode, Json<Value>) {
    match classify(model, body).await {
        Ok(top) => (StatusCode::OK, Json(json!({ "top": top }))),
        // What the caller sent; everything else is ours.
        Err(error @ Error::Image { .. }) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": error.to_string() }))),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": error.to_string() }))),
    }
}

async fn classify(model: Model, body: Bytes) -> ghostnet::Result<Vec<Class>> {
    let decoder = model.clone();
    let decode = move || decoder.pixels(&decode_bytes("body".as_ref(), &body)?);
    let pixels = tokio::task::spawn_blocking(decode).await.expect("decoding does not panic")?;
    Ok(model.classify_pixels_async(&pixels, 1, 5).await?.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    /// One thread for the server and its clients: it answers all of them only if none keeps it.
    #[tokio::test]
    async fn images_are_classified_side_by_side() {
        let engine = Engine::new_async(EngineOptions::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app(engine.load(Network::embedded().unwrap()).unwrap())).await });
        let post = move |body: &'static [u8]| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = format!("POST /classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            (status, serde_json::from_str::<Value>(body).unwrap())
        };
        let requests = [
            tokio::spawn(post(include_bytes!("../../../assets/images/chelsea.png"))),
            tokio::spawn(post(include_bytes!("../../../assets/images/horse.png"))),
            tokio::spawn(post(b"no image")),
        ];
        let mut answers = Vec::new();
        for request in requests {
            answers.push(request.await.unwrap());
        }
        assert_eq!([0, 1, 2].map(|at| answers[at].0), [200, 200, 422], "{answers:?}");
        assert_eq!([0, 1].map(|at| answers[at].1["top"][0]["label"].clone()), [json!("cat"), json!("horse")]);
        assert!(answers[2].1["error"].as_str().unwrap().starts_with("body: not an image"), "{:?}", answers[2].1);
    }
}
