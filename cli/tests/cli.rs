//! The command `ghostnet` from outside: the contracts of its JSON, its exit status, and one line
//! for every error.

use ghostnet::{
    AnyTensor, Backend, CacheDir, Card, Element, Engine, EngineOptions, Network, Tensor, Values,
    device::Choice,
    graph::{Conv, Graph, Op, TensorType},
    image::{Rgb, RgbImage},
    model::Stored,
    npy,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

const CAT: &str = "../assets/images/chelsea.png";
const HORSE: &str = "../assets/images/horse.png";
const WEIGHTS: &str = "../assets/ghostnet_050_cifar10.safetensors";

/// A directory of one test, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ghostnet-cli-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        Dir(dir)
    }
    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the temporary directory's name is text").to_string()
    }
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the directory exists");
        let mut names: Vec<_> = entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ghostnet"));
    // Without it Mesa's Vulkan layer writes to stderr, unless the command sees to it.
    command.args(args).env_remove("XDG_RUNTIME_DIR").env("NO_COLOR", "1").env("HF_HOME", "/nonexistent").env("GHOSTNET_CACHE_DIR", "");
    command
}

fn ghostnet(args: &[&str]) -> Output {
    command(args).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is text")
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one JSON value on stdout.
fn value(args: &[&str]) -> Value {
    let out = stdout(&ghostnet(args));
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
}

/// The one line of an error.
fn refused(output: &Output) -> String {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(text(&output.stdout), "");
    stderr.trim_end().strip_prefix("error: ").unwrap_or_else(|| panic!("{stderr}")).to_string()
}

/// What a field must be.
#[derive(Clone, Copy)]
enum Is {
    Text,
    Whole,
    Number,
    Bool,
    Array,
    Object,
}

/// Exactly these fields, of these types.
fn check(value: &Value, fields: &[(&str, Is)]) {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    for (name, is) in fields {
        let field = object.get(*name).unwrap_or_else(|| panic!("no {name}: {value}"));
        let right = match is {
            Is::Text => field.as_str().is_some_and(|s| !s.is_empty()),
            Is::Whole => field.is_u64(),
            Is::Number => field.as_f64().is_some_and(|n| n.is_finite() && n >= 0.0),
            Is::Bool => field.is_boolean(),
            Is::Array => field.is_array(),
            Is::Object => field.is_object(),
        };
        assert!(right, "{name}: {field}");
    }
    assert_eq!(object.len(), fields.len(), "{value}");
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value}"))
}

/// What `adapters` lists. Asked of the command, which keeps Mesa's Vulkan layer quiet.
fn all_adapters() -> &'static [Value] {
    static ADAPTERS: OnceLock<Value> = OnceLock::new();
    list(ADAPTERS.get_or_init(|| value(&["adapters", "--json"])))
}

/// Those for `--backend gpu`: all but the last, which is the CPU.
fn adapters() -> &'static [Value] {
    all_adapters().split_last().expect("the CPU").1
}

/// Whether there is anything for `--backend gpu`.
fn has_gpu() -> bool {
    !adapters().is_empty()
}

/// The backends that this machine has.
fn backends() -> &'static [&'static str] {
    if has_gpu() { &["cpu", "gpu"] } else { &["cpu"] }
}

#[test]
fn auto_takes_the_best_gpu_or_the_cpu() {
    let auto = ghostnet(&["classify", "--json", CAT]);
    // Where it runs is in the JSON, and nowhere else.
    assert_eq!(text(&auto.stderr), "");
    let auto: Value = serde_json::from_str(&stdout(&auto)).unwrap();
    let half = ghostnet(&["classify", "--json", "--precision", "f16", CAT]);
    match adapters().iter().find(|adapter| adapter["type"] != "cpu") {
        Some(best) => {
            assert_eq!((&auto["backend"], &auto["adapter"]), (&json!("gpu"), &best["name"]));
            stdout(&half);
        }
        None => {
            assert_eq!(auto["backend"], "cpu");
            let error = refused(&half);
            assert!(error.starts_with("no GPU adapter") && error.contains("--backend gpu"), "{error}");
            // For people: the adapter's line on stderr says why.
            let said = text(&ghostnet(&["classify", CAT]).stderr);
            assert!(said.starts_with("ghostnet_050_cifar10 on CPU (") && said.contains("; no GPU adapter: "), "{said}");
            assert_eq!(said.lines().count(), 1);
            let tune = refused(&ghostnet(&["tune"]));
            assert!(tune.starts_with("no GPU adapter") && tune.contains("--backend gpu"), "{tune}");
            for adapter in adapters() {
                let name = adapter["name"].as_str().unwrap();
                assert!(said.contains(name) && said.contains("on the CPU") && error.contains(name), "{said}, {error}");
            }
        }
    }
    // Whoever names an adapter or wants a GPU gets any.
    if let Some(best) = adapters().first() {
        let name = best["name"].as_str().unwrap();
        for args in [["--backend", "gpu"], ["--adapter", name]] {
            let answer = value(&["classify", "--json", args[0], args[1], CAT]);
            assert_eq!((&answer["backend"], &answer["adapter"]), (&json!("gpu"), &best["name"]));
        }
    }
}

#[test]
fn classify_names_the_cat_on_every_backend() {
    for backend in backends() {
        let answer = value(&["classify", "--json", "--backend", backend, CAT]);
        check(&answer, &[("image", Is::Text), ("model", Is::Text), ("backend", Is::Text), ("adapter", Is::Text), ("top", Is::Array)]);
        assert_eq!(
            (&answer["image"], &answer["model"], &answer["backend"]),
            (&json!(CAT), &json!("ghostnet_050_cifar10"), &json!(backend))
        );
        let top = list(&answer["top"]);
        assert_eq!(top.len(), 5);
        top.iter().for_each(|class| check(class, &[("index", Is::Whole), ("label", Is::Text), ("probability", Is::Number)]));
        assert_eq!((&top[0]["index"], &top[0]["label"]), (&json!(3), &json!("cat")));
        assert!(top.is_sorted_by_key(|class| std::cmp::Reverse((class["probability"].as_f64().unwrap() * 1e6) as i64)));
    }
}

#[test]
fn classify_goes_on_after_a_bad_image() {
    let dir = Dir::new("bad-image");
    let (fake, missing) = (dir.path("text.jpg"), dir.path("none.png"));
    fs::write(&fake, "this is no image").unwrap();
    let output = ghostnet(&["classify", "--json", "--top", "2", CAT, &fake, &missing, HORSE]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (bad, good): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.get("error").is_some());
    let said: Vec<_> = good.iter().map(|line| (line["image"].as_str().unwrap(), line["top"][0]["label"].as_str().unwrap())).collect();
    assert_eq!(said, [(CAT, "cat"), (HORSE, "horse")]);
    assert!(good.iter().all(|line| list(&line["top"]).len() == 2));
    bad.iter().for_each(|line| check(line, &[("image", Is::Text), ("error", Is::Text)]));
    assert_eq!(lines.iter().map(|line| &line["image"]).collect::<Vec<_>>(), [CAT, &fake, &missing, HORSE], "in their order");
    assert_eq!(bad[1]["error"], json!(format!("{missing}: no such file")));
    let errors = text(&output.stderr);
    let errors: Vec<&str> = errors.lines().collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("error: ") && errors[0].contains(&fake), "{errors:?}");
    assert_eq!(errors[1], format!("error: {missing}: no such file"));
    // For people: the same, and no JSON.
    let output = ghostnet(&["classify", "--backend", "cpu", CAT, &missing]);
    assert_eq!(output.status.code(), Some(1));
    let out = text(&output.stdout);
    assert!(out.lines().nth(1).is_some_and(|line| line.ends_with("  cat") && line.contains(" %  ")), "{out}");
    assert_eq!(out.lines().count(), 1 + 5);
    // Where it ran is no result.
    let errors = text(&output.stderr);
    let (error, adapter) = errors.split_once('\n').unwrap();
    assert!(error.contains(&missing) && adapter.starts_with("ghostnet_050_cifar10 on CPU (") && adapter.ends_with(")\n"), "{errors}");
}

#[test]
fn images_come_from_folders_and_stdin() {
    let dir = Dir::new("sources");
    let name = |path: &str| dir.path(path);
    for folder in ["photos", "photos/more", "photos/.thumbnails", "empty"] {
        fs::create_dir(name(folder)).unwrap();
    }
    for copy in ["photos/more/b.PNG", "photos/a.png", "photos/.thumbnails/a.png"] {
        fs::copy(CAT, name(copy)).unwrap();
    }
    fs::write(name("photos/notes.txt"), "no image").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(".", name("photos/round")).unwrap();
    let args = ["classify", "--json", "--backend", "cpu", HORSE, &name("photos"), &name("empty"), "-"];
    let output = command(&args).stdin(fs::File::open(CAT).unwrap()).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(1), "the empty folder");
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> = lines.iter().map(|line| (line["image"].as_str().unwrap(), line["top"][0]["label"].as_str())).collect();
    let (a, b, empty) = (name("photos/a.png"), name("photos/more/b.PNG"), name("empty"));
    assert_eq!(said, [(HORSE, Some("horse")), (&a, Some("cat")), (&b, Some("cat")), (&empty, None), ("-", Some("cat"))]);
    assert_eq!(text(&output.stderr), format!("error: {empty}: no images (jpg, jpeg, jpe, jfif, png, webp, bmp, gif) in it\n"));
    assert_eq!(refused(&command(&["classify", "-"]).stdin(Stdio::null()).output().unwrap()), "-: is empty");
}

#[test]
fn run_is_a_filter_too() {
    let dir = Dir::new("filter");
    let (x, y) = (dir.path("x.npy"), dir.path("y.npy"));
    let data: Vec<f32> = (0..3 * 32 * 32).map(|at| (at % 97) as f32 / 48.0 - 1.0).collect();
    npy::write(Path::new(&x), &Tensor::new(&[1, 3, 32, 32], data).unwrap()).unwrap();
    // As README prints it: the embedded network.
    let output = ghostnet(&["run", "--backend", "cpu", "--input", &x, "--output", &y]);
    assert_eq!(stdout(&output), format!("{y}: [1, 10]\n"));
    let said = text(&output.stderr);
    assert!(said.starts_with("ghostnet_050_cifar10 in ") && said.contains(" ms on CPU (") && said.lines().count() == 1, "{said}");
    let piped = |args: &[&str]| command(args).stdin(fs::File::open(&x).unwrap()).output().expect("the command starts");
    let output = piped(&["run", "-d", "cpu", "-i", "-", "-o", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout == fs::read(&y).unwrap(), "the same bytes, and nothing else");
    for args in
        [&["run", "-i", "-", "-i", "-", "-o", &y][..], &["run", "-i", &x, "-o", "-", "--json"], &["run", "-i", &x, "-o", "-", "-o", "-"]]
    {
        assert_eq!(piped(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn results_alone_are_on_stdout() {
    let dir = Dir::new("streams");
    fs::create_dir(dir.path("cat")).unwrap();
    fs::copy(CAT, dir.path("cat/1.png")).unwrap();
    for args in [&["classify", CAT][..], &["bench", "-n", "1"], &["profile", "-n", "1"], &["eval", &dir.path("")]] {
        let output = ghostnet(&[args, &["--backend", "cpu"]].concat());
        let (out, said) = (stdout(&output), text(&output.stderr));
        assert!(!out.contains("CPU (") && said.contains("on CPU (") && said.lines().count() == 1, "{args:?}: {out}{said}");
    }
}

#[test]
fn what_goes_on_is_said_where_it_is_asked_for() {
    let said = |args: &[&str]| text(&ghostnet(args).stderr);
    let some = said(&["classify", "-v", "--backend", "cpu", "--json", CAT]);
    let more = said(&["-vv", "classify", "--backend", "cpu", "--json", CAT]);
    assert_eq!(some, "", "nothing of note");
    assert!(more.lines().any(|line| line.starts_with("debug: pass ")), "{more}");
    if adapters().iter().all(|adapter| adapter["type"] == "cpu") {
        let why = said(&["classify", "--verbose", "--json", CAT]);
        assert!(why.starts_with("info: running on the CPU: no GPU adapter"), "{why}");
    }
}

#[test]
fn shells_complete_the_commands_words() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&ghostnet(&["completions", shell]));
        for word in ["classify", "completions", "backend", "auto"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(ghostnet(&["completions", "cmd"]).status.code(), Some(2));
    // What bash makes of it.
    let dir = Dir::new("completions");
    fs::write(dir.path("ghostnet.bash"), stdout(&ghostnet(&["completions", "bash"]))).unwrap();
    let ask = format!(
        "source {}; COMP_WORDS=(ghostnet cl); COMP_CWORD=1; _ghostnet ghostnet cl ghostnet; echo \"${{COMPREPLY[*]}}\"",
        dir.path("ghostnet.bash")
    );
    if let Ok(output) = Command::new("bash").args(["-c", &ask]).output() {
        assert_eq!(text(&output.stdout), "classify\n", "{}", text(&output.stderr));
    }
}

#[test]
fn every_command_has_a_page_in_the_manual() {
    let dir = Dir::new("man");
    let page = stdout(&ghostnet(&["man"]));
    assert!(page.contains(".TH ghostnet 1") && page.contains("GHOSTNET_CACHE_DIR"), "{page}");
    assert_eq!(stdout(&ghostnet(&["man", &dir.path("man1")])), "");
    let pages = Dir(dir.0.join("man1")).names();
    let commands = [
        "adapters",
        "bench",
        "classify",
        "completions",
        "convert",
        "detect",
        "eval",
        "ghostify",
        "inspect",
        "man",
        "models",
        "profile",
        "pull",
        "run",
        "tune",
    ];
    let mut expected: Vec<String> = commands.iter().map(|name| format!("ghostnet-{name}.1")).collect();
    expected.push("ghostnet.1".into());
    assert_eq!(pages, expected);
    fs::write(dir.path("file"), "").unwrap();
    let error = refused(&ghostnet(&["man", &dir.path("file")]));
    assert!(error.contains("file"), "{error}");
}

#[test]
fn classify_takes_weights_of_the_model_only() {
    let answer = value(&["classify", "--json", "--weights", WEIGHTS, "--backend", "cpu", "--top", "99", CAT]);
    assert_eq!((&answer["top"][0]["label"], list(&answer["top"]).len()), (&json!("cat"), 10));
    let answer = value(&["classify", "--json", "--model", "ghostnet_050", "--weights", WEIGHTS, "--backend", "cpu", CAT]);
    assert_eq!(answer["top"][0]["label"], "cat");
    let error = refused(&ghostnet(&["classify", "--model", "ghostnet_100", "--weights", WEIGHTS, CAT]));
    assert!(error.contains("ghostnet_100") && error.contains("ghostnet_050"), "{error}");
    let error = refused(&ghostnet(&["classify", "--model", "ghostnet_100", CAT]));
    assert!(error.contains("--weights FILE"), "{error}");
    let random = ghostnet(&["classify", "--json", "--model", "ghostnet_050", "--weights", "random", "--backend", "cpu", CAT]);
    assert_eq!(text(&random.stderr), "note: random weights, the answers mean nothing\n");
    let answer: Value = serde_json::from_str(&stdout(&random)).unwrap();
    assert_eq!((&answer["model"], list(&answer["top"]).len()), (&json!("ghostnet_050"), 5));
}

#[test]
fn run_writes_logits() {
    let dir = Dir::new("run");
    let (input, output) = (dir.path("x.npy"), dir.path("y.npy"));
    let data: Vec<f32> = (0..2 * 3 * 32 * 48).map(|at| (at % 97) as f32 / 48.0 - 1.0).collect();
    npy::write(Path::new(&input), &Tensor::new(&[2, 3, 32, 48], data).unwrap()).unwrap();
    let mut logits = Vec::new();
    for backend in backends() {
        let args = ["run", "--json", "--model", "ghostnet_050_cifar10", "--backend", backend, "--input", &input, "--output", &output];
        let answer = value(&args);
        check(&answer, &[("backend", Is::Text), ("adapter", Is::Text), ("shape", Is::Array), ("ms", Is::Number)]);
        assert_eq!((&answer["shape"], &answer["backend"]), (&json!([2, 10]), &json!(backend)));
        let Tensor { shape, data } = npy::read(Path::new(&output)).unwrap();
        assert_eq!(shape, [2, 10]);
        logits.push(data);
    }
    let largest = logits[0].iter().fold(0f32, |m, v| m.max(v.abs()));
    for (a, b) in logits[0].iter().zip(&logits[logits.len() - 1]) {
        assert!((a - b).abs() <= 1e-4 * largest, "{a} {b}");
    }
    assert_eq!(dir.names(), ["x.npy", "y.npy"]);
}

/// A network with a graph and a card of its own, through the commands.
#[test]
fn one_file_networks_are_models_like_any() {
    let dir = Dir::new("convert");
    let (whole, halves) = (dir.path("whole.safetensors"), dir.path("halves.safetensors"));
    let converted = value(&["convert", "ghostnet_050_cifar10", &whole, "--json"]);
    check(&converted, &[("model", Is::Text), ("file", Is::Text), ("bytes", Is::Whole), ("tensors", Is::Whole)]);
    stdout(&ghostnet(&["convert", "ghostnet_050_cifar10", &halves, "--f16"]));
    let size = |path: &str| fs::metadata(path).unwrap().len();
    assert_eq!((converted["bytes"].as_u64(), size(&halves) * 10 < size(&whole) * 6), (Some(size(&whole)), true));
    // Once more is the same file.
    let again = dir.path("again.safetensors");
    stdout(&ghostnet(&["convert", &whole, &again]));
    assert!(fs::read(&again).unwrap() == fs::read(&whole).unwrap());

    let (input, outputs) = (dir.path("x.npy"), [dir.path("a.npy"), dir.path("b.npy")]);
    let data: Vec<f32> = (0..3 * 32 * 32).map(|at| (at % 97) as f32 / 48.0 - 1.0).collect();
    npy::write(Path::new(&input), &Tensor::new(&[1, 3, 32, 32], data).unwrap()).unwrap();
    for (model, output) in ["ghostnet_050_cifar10", &whole].into_iter().zip(&outputs) {
        stdout(&ghostnet(&["run", "--model", model, "--backend", "cpu", "--input", &input, "--output", output]));
    }
    assert!(fs::read(&outputs[0]).unwrap() == fs::read(&outputs[1]).unwrap(), "the same bytes of logits");

    let best = |args: &[&str]| value(&[&["classify", CAT, "--json", "--backend", "cpu"], args].concat())["top"][0]["label"].clone();
    assert_eq!([best(&["--model", &whole]), best(&["--model", &halves])], [json!("cat"), json!("cat")]);
    for command in ["inspect", "bench", "profile"] {
        let iters: &[&str] = if command == "inspect" { &[] } else { &["--iters", "1"] };
        let answer = value(&[&[command, &whole, "--json", "--backend", "cpu"], iters].concat());
        assert_eq!(answer["model"], "ghostnet_050_cifar10", "{command}");
    }
    let bytes = dir.path("bytes.safetensors");
    stdout(&ghostnet(&["convert", &whole, &bytes, "--int8"]));
    assert!(size(&bytes) * 10 < size(&whole) * 4 && best(&["--model", &bytes]) == "cat");
    let error = refused(&ghostnet(&["run", "--model", "ghostnet_100", "--weights", &whole, "--input", &input, "--output", &outputs[0]]));
    assert!(error.contains("not ghostnet_100"), "{error}");

    // A card from outside.
    let labels = dir.path("labels.txt");
    fs::write(&labels, (0..10).map(|at| format!("class {at} of ten\n")).collect::<String>()).unwrap();
    assert_eq!(best(&["--labels", &labels]), "class 3 of ten");
    let card = dir.path("card.json");
    fs::write(&card, r#"{"labels": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], "source": "here"}"#).unwrap();
    assert_eq!(best(&["--card", &card]), "d");
    fs::write(&labels, "one\n").unwrap();
    assert_eq!(refused(&ghostnet(&["classify", CAT, "--labels", &labels])), "1 labels for 10 classes");
    fs::write(&card, r#"{"label": []}"#).unwrap();
    let error = refused(&ghostnet(&["classify", CAT, "--card", &card]));
    assert!(error.ends_with("card.json: `label` is no field of a card"), "{error}");
}

#[test]
fn ghostify_writes_a_network_of_modules() {
    let dir = Dir::new("ghostify");
    let (out, python) = (dir.path("ghosts.safetensors"), dir.path("ghosts.py"));
    let common = ["--backend", "cpu", "--iters", "1", "--json"];
    let args = ["ghostify", "vgg16", &out, "--weights", "random", "--ratio", "4", "--layers", "features.3", "--pytorch", &python];
    let answer = value(&[&args[..], &common].concat());
    let texts = ["model", "file", "backend", "adapter", "driver", "precision"].map(|name| (name, Is::Text));
    let others = [("bytes", Is::Whole), ("predicted_ms", Is::Number), ("layers", Is::Array)];
    let pairs = ["params", "macs", "ms"].map(|name| (name, Is::Array));
    check(&answer, &[&texts[..], &others, &pairs].concat());
    assert_eq!(answer["model"], "vgg16_ghost");
    let layer = &list(&answer["layers"])[0];
    let known =
        [("name", Is::Text), ("reordered", Is::Bool), ("error", Is::Number), ("intrinsic", Is::Whole), ("predicted_ms", Is::Number)];
    let pairs = ["channels", "kernel", "params", "macs", "ms"].map(|name| (name, Is::Array));
    check(layer, &[&known[..], &pairs].concat());
    // A filter of 9 x 64 weights, of the cheap operations 9; biases, and two of a normalisation.
    let after = 16 * (9 * 64 + 2) + 48 * (9 + 2);
    assert_eq!(
        (&layer["name"], &layer["params"], &layer["intrinsic"]),
        (&json!("features.3"), &json!([64 * (9 * 64 + 2), after]), &json!(16))
    );
    let inspected = value(&["inspect", &out, "--json"]);
    assert_eq!(
        (&inspected["model"], &inspected["params"], &inspected["macs"]),
        (&answer["model"], &answer["params"][1], &answer["macs"][1])
    );
    let text = fs::read_to_string(&python).unwrap();
    assert!(
        text.contains("nn.Conv2d(64, 16, (3, 3), (1, 1), (1, 1), (1, 1), 1, bias=False)")
            && text.contains("features.3.cheap_operation.0.weight")
    );
    // What is there stays.
    let before = fs::read(&out).unwrap();
    for (args, wanted) in [
        (&["ghostify", &out, &out][..], "IN and OUT are one file"),
        (&["ghostify", &out, &dir.path("x"), "--pytorch", &out], "the Python file would replace a network"),
        (&["ghostify", "none.onnx", &out], "none.onnx: no such file"),
        (
            &["ghostify", &out, &dir.path("x"), "--layers", "features.3"],
            "`features.3` names nothing that can become a ghost module: there are `features.0`, ",
        ),
        (&["ghostify", "vgg16", &out], "vgg16 has no weights"),
        (&["ghostify", &out, &dir.path("none/x"), "--backend", "cpu", "--iters", "1"], "no such directory"),
    ] {
        let error = refused(&ghostnet(args));
        assert!(error.contains(wanted), "{error}");
    }
    assert!(fs::read(&out).unwrap() == before);
    assert_eq!(dir.names(), ["ghosts.py", "ghosts.safetensors"]);
}

/// A detector of white: two rows and columns of cells, whose score is how white a cell is. A box
/// reaches a stride from a cell's middle to each side.
fn detector_of_white(file: &str, size: Value) {
    let mut graph = Graph::new();
    let x = graph.add_input(3).unwrap();
    let weights = (0..5 * 48).map(|at| if at < 48 { 1.0 / 48.0 } else { 0.0 }).collect::<Vec<f32>>();
    let weight = graph.add_constant("weight", &[5, 3, 4, 4], weights).unwrap();
    let bias = graph.add_constant("bias", &[5], vec![0.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
    let y = graph.add("conv", Op::Conv(Conv::new(weight).bias(bias).stride(4)), &[x]).unwrap();
    graph.add_output_of("y", y, TensorType::maps());
    let card = json!({
        "name": "white", "task": "detect", "labels": ["white"],
        "input": { "size": size, "std": [255, 255, 255] }, "priors": { "strides": [4], "offset": 0.5 },
        "score": { "classes": { "outputs": ["y"], "channels": [0, 1] } },
        "box": { "form": "distances", "values": { "outputs": ["y"], "channels": [1, 5] } },
        "threshold": 0.5, "nms": { "iou": 0.5 }
    });
    let card = Card::of_json(&card.to_string()).unwrap();
    Network::new(graph, card).unwrap().save(file, Stored::F32).unwrap();
}

#[test]
fn detect_finds_what_is_there() {
    let dir = Dir::new("detect");
    let (model, picture, black) = (dir.path("white.safetensors"), dir.path("picture.png"), dir.path("black.png"));
    detector_of_white(&model, json!([8, 8]));
    RgbImage::from_fn(16, 16, |x, y| Rgb([if x >= 8 && y < 8 { 255 } else { 0 }; 3])).save(&picture).unwrap();
    RgbImage::new(16, 16).save(&black).unwrap();
    for backend in backends() {
        let found = value(&["detect", "--model", &model, "--backend", backend, "--json", &picture]);
        assert_eq!([&found["model"], &found["width"], &found["height"]], [&json!("white"), &json!(16), &json!(16)]);
        let [one] = &list(&found["detections"])[..] else { panic!("{found}") };
        check(one, &[("label", Is::Text), ("index", Is::Whole), ("score", Is::Number), ("box", Is::Array)]);
        assert_eq!(one["label"], "white");
        let corners: Vec<f64> = list(&one["box"]).iter().map(|v| v.as_f64().unwrap()).collect();
        assert!(corners.iter().zip([4.0, 0.0, 16.0, 12.0]).all(|(found, wanted)| (found - wanted).abs() < 1e-3), "{corners:?}");
    }
    let told = stdout(&ghostnet(&["detect", "--model", &model, "--backend", "cpu", &picture, &black]));
    assert!(told.contains("white  1.00") && told.contains("no detections above 0.50"), "{told}");
    let inspected = stdout(&ghostnet(&["inspect", &model, "--size", "8x8"]));
    for words in
        ["sampled  input: 8 x 8, the picture stretched", "scores   the best class by y [0 .. 1], above 0.5", "in strides: y [1 .. 5]"]
    {
        assert!(inspected.contains(words), "{inspected}");
    }

    let bench = ["bench", &model, "--size", "8x8", "--iters", "2", "--backend", "cpu", "--picture"];
    let timed = value(&[&bench[..], &[&picture, "--json"]].concat());
    check(&timed["detect_ms"], &[("min", Is::Number), ("median", Is::Number), ("p90", Is::Number)]);
    assert!(stdout(&ghostnet(&[&bench[..], &[&picture]].concat())).contains("in 90 % of 2 pictures: "));
    let plain = refused(&ghostnet(&["bench", "--backend", "cpu", "--picture", &picture]));
    assert_eq!(plain, "ghostnet_050_cifar10: nothing is found in pictures by it; --card says how a detector's results become boxes");

    // What stands around the network is timed too, for a picture of a stated size.
    for backend in backends() {
        let profile = ["profile", &model, "--iters", "2", "--backend", backend];
        for (more, is_around, size) in [
            (&["--picture", &picture][..], true, json!({ "width": 16, "height": 16 })),
            (&[], true, json!({ "width": 640, "height": 480 })),
            (&["--size", "8x8"], false, Value::Null),
            (&["--batch", "2", "--size", "8x8"], false, Value::Null),
        ] {
            let profile = value(&[&profile[..], more, &["--json"]].concat());
            let kernels: Vec<&str> = list(&profile["steps"]).iter().map(|step| step["kernel"].as_str().unwrap()).collect();
            assert_eq!((kernels[0] == "sample", kernels.ends_with(&["decode"])), (is_around, is_around), "{kernels:?}");
            assert_eq!(profile["picture"], size);
            let shares: f64 = list(&profile["steps"]).iter().map(|step| step["share"].as_f64().unwrap()).sum();
            assert!((shares - 1.0).abs() < 1e-6 && list(&profile["steps"]).iter().all(|step| step["gb_per_s"].is_number()), "{profile}");
        }
        let chart = dir.path("steps.svg");
        let told = stdout(&ghostnet(&[&profile[..], &["--chart", &chart]].concat()));
        assert!(told.contains("white, a picture of 640 x 480, f32") && fs::read_to_string(&chart).unwrap().contains("decode"), "{told}");
    }
    assert_eq!(refused(&ghostnet(&["profile", "--backend", "cpu", "--picture", &picture])), plain);

    // As large as the picture, with sides that are multiples of 8: beside it all is black.
    let any = dir.path("any.safetensors");
    detector_of_white(&any, json!({ "multiple": 8 }));
    let odd = dir.path("odd.png");
    RgbImage::from_fn(22, 13, |x, y| Rgb([if (12..16).contains(&x) && (8..12).contains(&y) { 255 } else { 0 }; 3])).save(&odd).unwrap();
    for backend in backends() {
        let found = value(&["detect", "--model", &any, "--backend", backend, "--json", &odd]);
        let [one] = &list(&found["detections"])[..] else { panic!("{found}") };
        // A stride about the middle of the white cell, on the picture.
        assert_eq!(one["box"], json!([10.0, 6.0, 18.0, 13.0]));
    }

    // Pictures are drawn where they are asked for, and over none that is there.
    let drawn = dir.path("{stem}-found.png");
    let draw =
        |more: &[&str]| ghostnet(&[&["detect", "--model", &model, "--backend", "cpu", "--draw", &drawn, &picture, &black], more].concat());
    stdout(&draw(&[]));
    let pixels = |name: &str| ghostnet::image::open(dir.path(name)).unwrap().to_rgb8();
    assert_ne!(pixels("picture-found.png"), pixels("picture.png"));
    assert_eq!(pixels("black-found.png"), pixels("black.png"));
    let again = draw(&[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("is there already; --force writes over it"), "{}", text(&again.stderr));
    stdout(&draw(&["--force"]));

    let is_usage = |args: &[&str]| ghostnet(&[&["detect", "--model", &model, "--backend", "cpu"], args].concat()).status.code() == Some(2);
    assert!(is_usage(&["--only", "black", &picture]) && is_usage(&["--draw", &dir.path("one.png"), &picture, &black]));
    let classified = refused(&ghostnet(&["classify", "--model", &model, "--backend", "cpu", &picture]));
    assert!(classified.contains("`detect` is for it"), "{classified}");
    let detected = refused(&ghostnet(&["detect", "--model", "ghostnet_050_cifar10", "--backend", "cpu", &picture]));
    assert!(detected.contains("`classify` is for it"), "{detected}");
    assert_eq!(refused(&ghostnet(&["detect", "--model", &model, "--backend", "cpu", "none.png"])), "none.png: no such file");
}

#[test]
fn several_inputs_and_results_have_names() {
    let dir = Dir::new("several");
    let mut graph = Graph::new();
    let left = graph.add_input_of("left", 2, TensorType::maps()).unwrap();
    let right = graph.add_input_of("right", 2, TensorType::new(Element::I32, ["n", "c", "h", "w"]).unwrap()).unwrap();
    let sum = graph.add("sum", Op::Add, &[left, right]).unwrap();
    graph.add_output("a/sum", sum);
    graph.add_output_of("right too", right, TensorType::new(Element::I32, ["nchw"]).unwrap());
    let model = dir.path("two.safetensors");
    Network::new(graph, Card::named("two")).unwrap().save(&model, Stored::F32).unwrap();
    // More images than a run takes.
    let count = 70 * 2 * 3;
    let (x, y) = (dir.path("x.npy"), dir.path("y=y.npy"));
    let tensor = |data| AnyTensor { shape: vec![70, 2, 1, 3], data };
    npy::write_any(Path::new(&x), &tensor(Values::F32((0..count).map(|v| v as f32 / 2.0).collect()))).unwrap();
    npy::write_any(Path::new(&y), &tensor(Values::I32((0..count).map(|v| -v).collect()))).unwrap();
    let (left, right, results) = (format!("left={x}"), format!("right={y}"), dir.path("results"));
    for backend in backends() {
        let answer =
            value(&["run", "--json", "--model", &model, "--backend", backend, "--input", &right, "--input", &left, "--outputs", &results]);
        assert_eq!(answer["outputs"].as_array().unwrap().len(), 2, "{answer}");
        let sum = npy::read_any(&Path::new(&results).join("a_sum.npy")).unwrap();
        assert_eq!(sum, tensor(Values::F32((0..count).map(|v| v as f32 / -2.0).collect())));
        let right = npy::read_any(&Path::new(&results).join("right_too.npy")).unwrap();
        assert_eq!(right, AnyTensor { shape: vec![count as usize], data: Values::I32((0..count).map(|v| -v).collect()) });
    }
    let run = |args: &[&str]| refused(&ghostnet(&[&["run", "--model", &model, "--backend", "cpu"], args].concat()));
    let out = format!("a/sum={}", dir.path("o.npy"));
    for (args, says) in [
        (&["--input", &left, "--output", &out][..], "no tensor for the input right"),
        (&["--input", &x, "--output", &out], "the network has 2 inputs, left, right"),
        (&["--input", &left, "--input", &right, "--output", "o.npy"], "the network has 2 results, a/sum, right too"),
        (&["--input", &left, "--input", &right, "--output", "b=o.npy"], "no result is called `b`"),
        (&["--input", &left, "--input", &format!("right={x}"), "--output", &out], "holds f32, i32 [n, c, h, w] is needed"),
    ] {
        let error = run(args);
        assert!(error.contains(says), "{args:?}: {error}");
    }
    assert!(!Path::new(&dir.path("o.npy")).exists());
}

/// What the CPU computes after a run is a result like any, as long as the run says.
#[test]
fn last_steps_are_shown_and_written() {
    let dir = Dir::new("last");
    let model = "../tests/data/suppression/model.onnx";
    let out = stdout(&ghostnet(&["inspect", model]));
    let what = "some0: NonMaxSuppression of at most 5 boxes of a class, IoU at most 0.3, scores above 0.45";
    assert!(out.contains("\nresult   some0 i64 [c, c=3]\n"), "{out}");
    assert!(out.contains(&format!("\non CPU   {what}; boxes f32 [n, c=36, c=4], scores f32 [n, c=3, c=36]\n")), "{out}");
    let outputs = value(&["inspect", "--json", model])["outputs"].clone();
    assert_eq!(outputs[2], json!({ "name": "some1", "type": "i32", "sides": ["c", "c=3"] }));
    // More images than a run takes where results have a side for them.
    let (x, results) = (dir.path("x.npy"), dir.path("results"));
    npy::write(Path::new(&x), &Tensor::new(&[70, 3, 6, 6], vec![0.0; 70 * 3 * 36]).unwrap()).unwrap();
    let answer = value(&["run", "--json", "--model", model, "--backend", "cpu", "--input", &x, "--outputs", &results]);
    assert_eq!(list(&answer["outputs"]).len(), 9, "{answer}");
    // Every box is the same one, so that one of a class and image is kept.
    let every = npy::read_any(&Path::new(&results).join("every1.npy")).unwrap();
    let rows = (0..70).flat_map(|image| (0..3).flat_map(move |class| [image, class, 0]));
    assert_eq!(every, AnyTensor { shape: vec![210, 3], data: Values::I32(rows.collect()) });
    assert_eq!(npy::shape(&Path::new(&results).join("none0.npy")).unwrap(), [0, 3]);
}

#[test]
fn run_leaves_no_output_after_an_error() {
    let dir = Dir::new("run-errors");
    let (output, good) = (dir.path("y.npy"), dir.path("good.npy"));
    let filled = |shape: &[usize], value| Tensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] };
    npy::write(Path::new(&good), &filled(&[1, 3, 32, 32], 0.5)).unwrap();
    let input = |name: &str, shape: &[usize]| {
        let path = dir.path(name);
        npy::write(Path::new(&path), &filled(shape, 0.5)).unwrap();
        path
    };
    let whole_numbers = dir.path("whole_numbers.npy");
    let header = format!("{:<117}\n", "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 3, 32, 32), }");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header.bytes().chain(vec![0; 8 * 3 * 32 * 32]));
    fs::write(&whole_numbers, bytes).unwrap();
    let (half, not_finite) = (dir.path("half.npy"), dir.path("not_finite.npy"));
    let bytes = fs::read(&good).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    npy::write(Path::new(&not_finite), &filled(&[1, 3, 32, 32], f32::NAN)).unwrap();
    for (file, says) in [
        (input("channels.npy", &[1, 4, 32, 32]), "has shape [1, 4, 32, 32], 4 channels; the network takes 3"),
        (input("dimensions.npy", &[3, 32, 32]), "has shape [3, 32, 32], f32 [n, c, h, w] is needed"),
        (input("none.npy", &[0, 3, 32, 32]), "0"),
        (input("flat.npy", &[1, 3, 0, 32]), "[1, 3, 0, 32] is empty"),
        (whole_numbers, "holds i64, f32 [n, c, h, w] is needed"),
        (half, "truncated"),
        (not_finite, "NaN"),
        (dir.path("missing.npy"), "no such file"),
    ] {
        let error = refused(&ghostnet(&["run", "--backend", "cpu", "--weights", WEIGHTS, "--input", &file, "--output", &output]));
        assert!(error.contains(says), "{file}: {error}");
        assert!(!Path::new(&output).exists(), "{file}");
    }
    let error = refused(&ghostnet(&["run", "--weights", WEIGHTS, "--input", &good, "--output", &dir.path("none/y.npy")]));
    assert!(error.contains("no such directory"), "{error}");
    assert!(dir.names().iter().all(|name| name.ends_with(".npy") && name != "y.npy"), "{:?}", dir.names());
}

#[test]
fn bad_weights_are_refused() {
    let dir = Dir::new("weights");
    let half = dir.path("half.safetensors");
    let bytes = fs::read(WEIGHTS).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let text = dir.path("text.safetensors");
    fs::write(&text, "these are no weights").unwrap();
    let missing = dir.path("missing.safetensors");
    for file in [&half, &text, &missing, &dir.path("")] {
        for args in [["classify", CAT, "--model", file], ["classify", CAT, "--weights", file], ["inspect", file, "--batch", "1"]] {
            let error = refused(&ghostnet(&args));
            assert!(error.starts_with(file.as_str()), "{args:?}: {error}");
        }
    }
    for unknown in ["ghostnet_200", "owner/name", "", "..", "-"] {
        refused(&ghostnet(&["inspect", unknown]));
    }
}

#[test]
fn models_lists_all() {
    let models = value(&["models", "--json"]);
    let models = list(&models);
    models.iter().for_each(|m| check(m, &[("name", Is::Text), ("input", Is::Array), ("params", Is::Whole), ("macs", Is::Whole)]));
    let listed: Vec<_> = models.iter().map(|m| (m["name"].as_str().unwrap(), m["params"].as_u64().unwrap())).collect();
    let expected = [
        ("ghostnet_050", 2_587_292),
        ("ghostnet_100", 5_182_508),
        ("ghostnetv3_100", 6_147_588),
        ("mobilenetv3_large_100", 5_483_032),
        ("ghost_vgg16", 7_651_498),
        ("ghostnet_050_cifar10", 1_319_102),
    ];
    assert!(listed.len() == 29 && expected.iter().all(|row| listed.contains(row)), "{listed:?}");
    let input = |name: &str| &models.iter().find(|m| m["name"] == name).unwrap()["input"];
    assert_eq!([input("ghostnet_100"), input("ghost_vgg16")], [&json!([3, 224, 224]), &json!([3, 32, 32])]);
    let out = stdout(&ghostnet(&["models"]));
    assert!(expected.iter().all(|(name, _)| out.contains(name)) && out.contains("5,182,508") && out.contains("73.9 / 91.4"), "{out}");
    let timm: Vec<&str> = out.lines().filter(|line| line.contains(" timm ")).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(timm, ["mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv3_large_100"]);

    let share = Network::embedded().unwrap().test_top1().expect("its file states it");
    let row = out.lines().find(|line| line.starts_with("ghostnet_050_cifar10 ")).unwrap();
    assert!(share > 0.8 && row.contains(&format!(" {:.1} ", 100.0 * share)), "{share}: {row}");
}

#[test]
fn inspect_lists_the_plan_and_dumps_its_shaders() {
    let dir = Dir::new("inspect");
    let shaders = dir.path("a/b");
    let plan = value(&["inspect", "ghostnet_050", "--json", "--batch", "2", "--size", "64x96", "--dump-shaders", &shaders]);
    let numbers =
        ["params", "macs", "dispatches", "unfused", "pipelines", "weight_bytes", "activation_bytes"].map(|name| (name, Is::Whole));
    let lists = ["steps", "inputs", "outputs", "fused", "nearly"].map(|name| (name, Is::Array));
    check(&plan, &[&numbers[..], &lists, &[("model", Is::Text), ("card", Is::Object)]].concat());
    assert_eq!(plan["inputs"], json!([{ "name": "input", "type": "f32", "sides": ["n", "c", "h", "w"] }]));
    assert_eq!(plan["outputs"], json!([{ "name": "logits", "type": "f32", "sides": ["n", "c"] }]));
    assert!(list(&plan["fused"]).contains(&json!({ "pass": "fuse_ghost", "matches": 32 })), "{}", plan["fused"]);
    assert_eq!(plan["nearly"], json!([]));
    let steps = list(&plan["steps"]);
    assert_eq!(plan["dispatches"], steps.len());
    assert!(plan["unfused"].as_u64() > plan["dispatches"].as_u64(), "{plan}");
    let mut files: Vec<&str> = Vec::new();
    for step in steps {
        let texts = ["name", "kernel", "shader", "entry"].map(|name| (name, Is::Text));
        let numbers = ["macs", "read_bytes", "write_bytes"].map(|name| (name, Is::Whole));
        check(step, &[&texts[..], &numbers, &[("overrides", Is::Object), ("workgroups", Is::Array)]].concat());
        assert!(list(&step["workgroups"]).iter().all(|side| side.as_u64().is_some_and(|n| (1..=65535).contains(&n))));
        assert_eq!(list(&step["workgroups"]).len(), 3);
        files.push(step["shader"].as_str().unwrap());
        let source = fs::read_to_string(Path::new(&shaders).join(files[files.len() - 1])).unwrap();
        assert!(source.contains(&format!("fn {}(", step["entry"].as_str().unwrap())));
    }
    files.sort_unstable();
    files.dedup();
    assert_eq!((files.len() as u64, fs::read_dir(&shaders).unwrap().count()), (plan["pipelines"].as_u64().unwrap(), files.len()));
    let out = stdout(&ghostnet(&["inspect", "--device-class", "software"]));
    assert!(out.starts_with("ghostnet_050_cifar10, batch 1, 32 x 32\n") && out.contains("conv_stem"), "{out}");
}

/// 16 MiB an image: drivers on the CPU let a shader bind 128 MiB.
#[test]
fn bench_splits_what_a_device_does_not_take_at_once() {
    let dir = Dir::new("bench-split");
    let mut graph = Graph::new();
    let x = graph.add_input(3).unwrap();
    let mean = graph.add("mean", Op::GlobalPool, &[x]).unwrap();
    graph.add_output_of("mean", mean, TensorType::vectors());
    let model = dir.path("mean.safetensors");
    Network::new(graph, Card::named("mean")).unwrap().save(&model, Stored::F32).unwrap();
    if has_gpu() {
        let args = ["bench", &model, "--size", "1024", "--batch", "11", "--iters", "1", "--backend", "gpu", "--json"];
        let output = ghostnet(&args);
        let bench: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let note = "note: the device does not take 11 images at once; each run is 2 of 6\n";
        match bench["batch"].as_u64() {
            Some(11) => assert_eq!(text(&output.stderr), ""),
            batch => assert_eq!((batch, &*text(&output.stderr)), (Some(12), note)),
        }
    }
}

#[test]
fn bench_reports_start_up_and_latency() {
    for backend in backends() {
        let bench = value(&["bench", "--json", "--iters", "3", "--batch", "2", "--in-flight", "3", "--backend", backend]);
        let texts = ["model", "backend", "adapter", "driver", "precision"].map(|name| (name, Is::Text));
        let others = [("tuned", Is::Bool), ("batch", Is::Whole), ("startup_ms", Is::Object), ("latency_ms", Is::Object)];
        let throughput = [("in_flight", Is::Whole), ("images_per_s", Is::Number)];
        check(&bench, &[&texts[..], &others, &throughput].concat());
        check(&bench["startup_ms"], &["device", "weights", "pipelines", "first_run", "total"].map(|name| (name, Is::Number)));
        check(&bench["latency_ms"], &["min", "median", "p90"].map(|name| (name, Is::Number)));
        assert_eq!((&bench["batch"], &bench["backend"], &bench["precision"]), (&json!(2), &json!(backend), &json!("f32")));
        assert_eq!(bench["tuned"], false);
        let [min, median, p90] = ["min", "median", "p90"].map(|name| bench["latency_ms"][name].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= p90);
        assert!(bench["images_per_s"].as_f64().unwrap() > 0.0 && bench["in_flight"] == 3);
    }
    assert_eq!(ghostnet(&["bench", "--in-flight", "0"]).status.code(), Some(2));
    let output = ghostnet(&["bench", "ghostnet_050", "--size", "32", "--iters", "1", "--backend", "cpu"]);
    assert!(text(&output.stderr).starts_with("on CPU ("), "{}", text(&output.stderr));
    assert!(stdout(&output).contains("(random weights)") && stdout(&output).contains("images/s"));
}

#[test]
fn tune_stores_what_the_next_command_uses() {
    let error = refused(&ghostnet(&["tune", "--backend", "cpu"]));
    assert!(error.contains("tuning is for GPUs"), "{error}");
    if !has_gpu() {
        return;
    }
    let error = refused(&ghostnet(&["tune", "--backend", "gpu"]));
    assert!(error.contains("no cache folder"), "{error}");
    let dir = Dir::new("tune");
    let in_dir = |args: &[&str]| -> Value {
        let output = command(args).env("GHOSTNET_CACHE_DIR", &dir.0).output().expect("the command starts");
        serde_json::from_str(&stdout(&output)).expect("one JSON value")
    };
    let is_tuned = || in_dir(&["bench", "--json", "--iters", "1", "--backend", "gpu"])["tuned"].clone();
    let tune = in_dir(&["tune", "ghostnet_050_cifar10", "--quick", "--json", "--backend", "gpu"]);
    let (network, mut rest) = (tune["network"].clone(), tune.clone());
    rest.as_object_mut().unwrap().remove("network");
    let texts = ["model", "adapter", "driver", "precision", "clock", "file"].map(|name| (name, Is::Text));
    let others = [("batch", Is::Whole), ("decisions", Is::Array), ("choice", Is::Object), ("stored", Is::Bool), ("seconds", Is::Number)];
    check(&rest, &[&texts[..], &others].concat());
    assert!(list(&tune["decisions"]).len() >= 3, "{tune}");
    for decision in list(&tune["decisions"]) {
        let default = decision["default_ms"].as_f64().unwrap();
        let times: Vec<f64> = list(&decision["candidates"]).iter().map(|c| c["ms"].as_f64().unwrap()).collect();
        let best = times.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(default > 0.0 && best > 0.0 && !times.is_empty(), "{decision}");
        assert_eq!(decision["taken"].is_string(), best <= 0.95 * default, "{decision}");
    }
    if !network.is_null() {
        check(&network, &["default_ms", "tuned_ms", "ratio"].map(|name| (name, Is::Number)));
    }
    // What is found depends on the machine; that it is used if it was stored does not.
    assert_eq!(tune["stored"], network["ratio"].as_f64().is_some_and(|ratio| ratio <= 1.0));
    assert_eq!((is_tuned(), Path::new(tune["file"].as_str().unwrap()).exists()), (tune["stored"].clone(), tune["stored"] == true));

    let engine = Engine::new(EngineOptions::default().backend(Backend::Gpu).cache(CacheDir::At(dir.0.clone()))).unwrap();
    let choice = Choice { fuse_separable: true, conv2d: None, ..engine.choice() };
    engine.keep_choice(Some(&choice)).unwrap();
    assert_eq!(is_tuned(), true);
    assert_eq!(in_dir(&["tune", "--reset", "--json", "--backend", "gpu"]), json!({ "file": tune["file"], "removed": true }));
    assert_eq!(in_dir(&["tune", "--reset", "--json", "--backend", "gpu"]), json!({ "file": tune["file"], "removed": false }));
    assert_eq!(is_tuned(), false);
}

#[test]
fn profile_times_every_step() {
    let dir = Dir::new("profile");
    let chart = dir.path("time.svg");
    for backend in backends() {
        let profile = value(&["profile", "--json", "--iters", "2", "--chart", &chart, "--backend", backend]);
        let texts = ["model", "backend", "adapter", "driver", "precision"].map(|name| (name, Is::Text));
        check(&profile, &[&texts[..], &[("batch", Is::Whole), ("total_ms", Is::Number), ("steps", Is::Array)]].concat());
        let steps = list(&profile["steps"]);
        let numbers = ["ms", "share", "gflops", "gb_per_s"].map(|name| (name, Is::Number));
        steps.iter().for_each(|step| check(step, &[&[("name", Is::Text), ("kernel", Is::Text)][..], &numbers].concat()));
        let sum: f64 = steps.iter().map(|step| step["share"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        let drawn = fs::read_to_string(&chart).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.contains("blocks.0.0.ghost1") && drawn.trim_end().ends_with("</svg>"));
    }
    let out = stdout(&ghostnet(&["profile", "--iters", "1", "--backend", "cpu"]));
    assert!(out.contains("total of") && out.contains("GFLOP/s"), "{out}");
    let error = refused(&ghostnet(&["profile", "--iters", "1", "--backend", "cpu", "--chart", &dir.path("none/time.svg")]));
    assert!(error.contains("no such directory"), "{error}");
    let other = ghostnet(&["profile", "--chart", &dir.path("time.png")]);
    assert!(other.status.code() == Some(2) && text(&other.stderr).contains("FILE.svg is needed"), "{}", text(&other.stderr));
    assert_eq!(dir.names(), ["time.svg"]);
}

#[test]
fn eval_counts_what_is_right() {
    let dir = Dir::new("eval");
    for (class, from) in [("Cat", CAT), ("horse", HORSE), ("ship", HORSE)] {
        fs::create_dir(dir.path(class)).unwrap();
        fs::copy(from, dir.path(&format!("{class}/1.png"))).unwrap();
    }
    fs::copy(HORSE, dir.path("horse/2.PNG")).unwrap();
    fs::write(dir.path("horse/readme.txt"), "no image").unwrap();
    let fields = [("images", Is::Whole), ("top1", Is::Number), ("top5", Is::Number), ("images_per_s", Is::Number)];
    for backend in backends() {
        let eval = value(&["eval", &dir.path(""), "--json", "--batch", "3", "--backend", backend]);
        check(&eval, &fields);
        assert_eq!((&eval["images"], &eval["top1"]), (&json!(4), &json!(0.75)));
    }
    assert_eq!(value(&["eval", &dir.path(""), "--json", "--limit", "3", "--backend", "cpu"])["images"], 3);
    // A damaged image is named; the others count.
    fs::write(dir.path("horse/3.jpg"), "no image").unwrap();
    let output = ghostnet(&["eval", &dir.path(""), "--json", "--backend", "cpu"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["images"], 4);
    assert_eq!(text(&output.stderr).lines().count(), 1);
    assert!(text(&output.stderr).contains("3.jpg"));
    fs::rename(dir.path("ship"), dir.path("boat")).unwrap();
    let error = refused(&ghostnet(&["eval", &dir.path(""), "--backend", "cpu"]));
    assert!(error.contains("`boat` is no class"), "{error}");
    let error = refused(&ghostnet(&["eval", &dir.path("horse")]));
    assert!(error.contains("one per class"), "{error}");
    let error = refused(&ghostnet(&["eval", &dir.path("none")]));
    assert!(error.ends_with("no such directory"), "{error}");
}

#[test]
fn eval_takes_data_sets_as_they_are() {
    let dir = Dir::new("data_sets");
    let config = r#"{"architecture": "ghostnet_050", "stem_stride": 1, "num_classes": 10, "input_size": [3, 32, 32], "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.247, 0.2435, 0.2616], "crop_pct": 1.0, "label_names": ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"],
        "label_descriptions": {"n3": "cat", "n7": "horse", "n8": "horse"}}"#;
    fs::write(dir.path("config.json"), config).unwrap();
    let card = dir.path("config.json");
    // By a name, by a description, and by what two classes are called.
    for (folder, from, file) in [("N3", CAT, "deeper/still/1.jfif"), ("n7", HORSE, "1"), ("empty/deeper", CAT, "")] {
        let path = dir.path(&format!("set/{folder}/{file}"));
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        if !file.is_empty() {
            fs::copy(from, path).unwrap();
        }
    }
    for other in ["1.tif", "2.TIF", "1.ppm", "notes.txt", "LICENSE"] {
        fs::write(dir.path(&format!("set/n7/{other}")), "no image").unwrap();
    }
    let eval = |more: &[&str]| ghostnet(&[&["eval", &dir.path("set"), "--json", "--backend", "cpu"], more].concat());
    let output = eval(&["--card", &card]);
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&found["images"], &found["top1"]), (&json!(2), &json!(1.0)));
    let note = "note: jpg, jpeg, jpe, jfif, png, webp, bmp, gif are decoded; left out: 1 .ppm, 2 .tif, 1 without an extension\n";
    assert!(text(&output.stderr).contains(note), "{}", text(&output.stderr));
    fs::rename(dir.path("set/n7"), dir.path("set/horse")).unwrap();
    let error = text(&eval(&["--card", &card]).stderr);
    assert!(error.contains("several classes are called `horse`"), "{error}");
    // What is called by no name is in timm's order, which is said.
    for (at, folder) in (1..=10).map(|at| (at, dir.path(&format!("sorted/class{at}")))) {
        fs::create_dir_all(&folder).unwrap();
        fs::copy(if at == 4 { CAT } else { HORSE }, format!("{folder}/1.png")).unwrap();
    }
    let output = ghostnet(&["eval", &dir.path("sorted"), "--json", "--backend", "cpu"]);
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    // The cat is the fourth class, a horse the eighth.
    assert_eq!((&found["images"], &found["top1"]), (&json!(10), &json!(0.2)));
    assert!(
        text(&output.stderr).contains("in natural order, as timm's; text order, as torchvision's, is another"),
        "{}",
        text(&output.stderr)
    );
}

#[cfg(unix)]
#[test]
fn nothing_waits_for_a_pipe() {
    let dir = Dir::new("pipes");
    fs::create_dir_all(dir.path("cat")).unwrap();
    fs::copy(CAT, dir.path("cat/1.png")).unwrap();
    for pipe in [dir.path("cat/2.png"), dir.path("cat/3"), dir.path("x.npy")] {
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    let output = ghostnet(&["eval", &dir.path(""), "--json", "--backend", "cpu"]);
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap()["images"], 1);
    assert!(text(&output.stderr).contains("left out: 2 no regular file"), "{}", text(&output.stderr));
    let output = ghostnet(&["classify", "--backend", "cpu", &dir.path("cat/2.png")]);
    assert!(text(&output.stderr).contains("2.png: not a regular file\n"), "{}", text(&output.stderr));
    let error = refused(&ghostnet(&["run", "--backend", "cpu", "--input", &dir.path("x.npy"), "--output", &dir.path("y.npy")]));
    assert!(error.ends_with("x.npy: not a regular file"), "{error}");
    let error = refused(&ghostnet(&["classify", "--backend", "cpu", "--labels", &dir.path("x.npy"), CAT]));
    assert!(error.ends_with("not a regular file"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_cpu_runs_out_of_memory_in_one_line() {
    let dir = Dir::new("memory");
    let x = dir.path("x.npy");
    npy::write(Path::new(&x), &Tensor::new(&[4000, 3, 32, 32], vec![0.5; 4000 * 3 * 32 * 32]).unwrap()).unwrap();
    let run = format!("run --input {x} --output {}", dir.path("y.npy"));
    for (megabytes, arguments) in [(400, "bench --batch 4000 --iters 1"), (200, &run)] {
        let command = format!("ulimit -v {} && exec {} {arguments} --backend cpu", megabytes * 1024, env!("CARGO_BIN_EXE_ghostnet"));
        let output = Command::new("sh").args(["-c", &command]).env("RAYON_NUM_THREADS", "2").output().unwrap();
        let error = refused(&output);
        assert!(error.contains("out of memory: ") && error.ends_with("bytes more are needed") | error.ends_with("bytes more"), "{error}");
    }
}

#[test]
fn adapters_are_listed() {
    let texts = ["name", "backend", "type"].map(|name| (name, Is::Text));
    let cpu = all_adapters().last().unwrap();
    assert_eq!((&cpu["backend"], &cpu["type"]), (&json!("cpu"), &json!("cpu")));
    assert!(cpu["name"].as_str().unwrap().starts_with("CPU ("), "{cpu}");
    // The plain loops are everywhere, and may be asked for.
    let features = cpu["features"].as_array().unwrap();
    assert_eq!(features.last(), Some(&json!("plain")));
    let plain = Command::new(env!("CARGO_BIN_EXE_ghostnet")).args(["adapters", "--json"]).env("GHOSTNET_CPU", "plain").output().unwrap();
    let plain: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!(plain.as_array().unwrap().last().unwrap()["features"][0], "plain");
    for adapter in all_adapters() {
        let mut adapter = adapter.clone();
        assert!(adapter["driver"].is_string(), "{adapter}");
        adapter.as_object_mut().unwrap().remove("driver");
        check(&adapter, &[&texts[..], &[("features", Is::Array)]].concat());
    }
    stdout(&ghostnet(&["adapters"]));
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_driver_the_cpu_runs() {
    let without = |args: &[&str]| {
        let nowhere = [("VK_ICD_FILENAMES", "/nonexistent"), ("VK_DRIVER_FILES", "/nonexistent")];
        command(args).envs(nowhere).output().expect("the command starts")
    };
    let answer: Value = serde_json::from_str(&stdout(&without(&["classify", "--json", CAT]))).unwrap();
    assert_eq!((&answer["backend"], &answer["top"][0]["label"]), (&json!("cpu"), &json!("cat")));
    let error = refused(&without(&["classify", "--backend", "gpu", CAT]));
    assert!(error.starts_with("no GPU adapter"), "{error}");
    let error = refused(&without(&["classify", "--precision", "f16", CAT]));
    assert!(error.starts_with("no GPU adapter") && error.contains("f16") && error.contains("--backend gpu"), "{error}");
    let listed: Value = serde_json::from_str(&stdout(&without(&["adapters", "--json"]))).unwrap();
    assert_eq!((list(&listed).len(), &listed[0]["backend"]), (1, &json!("cpu")));
    assert!(stdout(&without(&["adapters"])).starts_with("no GPU adapter"));
}

#[test]
fn threads_are_as_many_as_asked_for_and_change_nothing() {
    let top = |threads: &str| {
        let answer = value(&["classify", "--json", "--backend", "cpu", "--threads", threads, CAT]);
        let adapter = answer["adapter"].as_str().unwrap().to_string();
        (adapter, answer["top"].clone())
    };
    let (one, wanted) = top("1");
    assert!(one.contains("1 thread)"), "{one}");
    let (most, got) = top("1024");
    assert!(one == most || most.contains(" threads)"), "{most}");
    assert_eq!(got, wanted);
    for command in ["bench", "profile"] {
        let options = ["--json", "--backend", "cpu", "--threads", "1"];
        let found = value(&[&[command][..], &options].concat());
        assert_eq!(found["adapter"], json!(one), "{command}");
    }
}

#[test]
fn what_the_device_cannot_do_is_refused() {
    let error = refused(&ghostnet(&["classify", "--adapter", "nosuch", CAT]));
    assert!(error.starts_with("no GPU adapter"), "{error}");
    let error = refused(&ghostnet(&["bench", "--backend", "cpu", "--size", "16384x16384", "--batch", "1000000"]));
    assert!(error.contains("is the most"), "{error}");
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &[][..],
        &["nosuch"],
        &["classify"],
        &["classify", "--nosuch", CAT],
        &["classify", "--top", "0", CAT],
        &["classify", "--backend", "tpu", CAT],
        &["classify", "--precision", "f64", CAT],
        &["classify", "--backend", "cpu", "--adapter", "x", CAT],
        &["classify", "--backend", "cpu", "--precision", "f16", CAT],
        &["inspect", "--backend", "cpu", "--precision", "f16"],
        &["run", "--input", "x.npy"],
        &["run", "--output", "y.npy"],
        &["convert", "ghostnet_050_cifar10"],
        &["convert", "ghostnet_050_cifar10", "x", "--f16", "--int8"],
        &["ghostify", "ghostnet_050_cifar10"],
        &["ghostify", "ghostnet_050_cifar10", "x", "--ratio", "0"],
        &["ghostify", "ghostnet_050_cifar10", "x", "--ratio", "1"],
        &["ghostify", "ghostnet_050_cifar10", "x", "--cheap", "4"],
        &["classify", "--mean", "1,2", CAT],
        &["classify", "--std", "0", CAT],
        &["classify", "--crop", "1.5", CAT],
        &["classify", "--interpolation", "cubic", CAT],
        &["run", "--model", "ghostnet_050", "--input", "x.npy"],
        &["inspect", "--batch", "-1"],
        &["inspect", "--size", "0x32"],
        &["bench", "--size", "99999999999999999999x1"],
        &["bench", "--iters", "many"],
        &["profile", "--picture", CAT, "--size", "8x8"],
        &["profile", "--picture", CAT, "--batch", "2"],
        &["tune", "--backend", "cpu", "--adapter", "x"],
        &["classify", "--threads", "0", CAT],
        &["bench", "--threads", "1025"],
        &["tune", "--reset", "--quick"],
        &["tune", "--batch", "0"],
        &["eval"],
        &["detect", CAT],
        &["detect", "--model", "m", "--threshold", "1.5", CAT],
        &["detect", "--model", "m", "--iou", "no", CAT],
        &["detect", "--model", "m", "--draw", "x.gif", CAT],
    ] {
        let output = ghostnet(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_printed() {
    assert_eq!(stdout(&ghostnet(&["--version"])), concat!("ghostnet ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(stdout(&ghostnet(&["--help"])).contains("Examples:"));
    for name in ["classify", "run", "models", "inspect", "bench", "profile", "tune", "eval", "adapters"] {
        assert!(stdout(&ghostnet(&[name, "--help"])).contains("--json"), "{name}");
    }
}

#[test]
fn pull_fails_in_one_line() {
    let dir = Dir::new("pull");
    let pull = |repo: &str| {
        // Nothing listens on port 9 of this machine, or it discards.
        let nowhere = [("HF_ENDPOINT", "http://127.0.0.1:9"), ("HF_HUB_CACHE", &dir.path("hub"))];
        command(&["pull", repo]).envs(nowhere).env("NO_PROXY", "127.0.0.1").output().expect("the command starts")
    };
    assert!(refused(&pull("timm/ghostnet_100.in1k")).contains("127.0.0.1:9"));
    assert!(refused(&pull("../x")).contains("OWNER/NAME"));
}

#[test]
fn a_pulled_model_is_found_by_its_repository() {
    let dir = Dir::new("cached");
    let model = dir.0.join("models--owner--name");
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), "abc").unwrap();
    fs::create_dir_all(model.join("snapshots/abc")).unwrap();
    fs::copy(WEIGHTS, model.join("snapshots/abc/model.safetensors")).unwrap();
    let args = ["classify", "--json", "--backend", "cpu", "--model", "owner/name", CAT];
    let output = command(&args).env("HF_HUB_CACHE", &dir.0).output().expect("the command starts");
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap()["top"][0]["label"], "cat");
    // What is pulled is listed, but for what this program has no use for.
    let other = dir.0.join("models--someone--text/snapshots/abc");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("model.safetensors"), "no weights").unwrap();
    let listed = |args: &[&str]| command(args).env("HF_HUB_CACHE", &dir.0).output().expect("the command starts");
    let models: Value = serde_json::from_str(&stdout(&listed(&["models", "--json"]))).unwrap();
    let [.., embedded, pulled] = &list(&models)[..] else { panic!("{models}") };
    assert_eq!(pulled, &json!({ "name": "owner/name", "input": [3, 32, 32], "params": 1_319_102, "macs": embedded["macs"] }));
    let models = listed(&["models"]);
    assert!(
        text(&models.stdout).lines().any(|line| line.starts_with("owner/name ") && line.ends_with("pulled")),
        "{}",
        text(&models.stdout)
    );
    assert!(text(&models.stderr).starts_with("1 model in the hub's cache is none"), "{}", text(&models.stderr));
}

/// What the command writes to a terminal of these columns, and the lines that it leaves and draws.
#[cfg(target_os = "linux")]
fn on_terminal(args: &[&str], term: &str, columns: u16) -> String {
    use rustix::{
        pty::{OpenptFlags, openpt, ptsname, unlockpt},
        termios::{Winsize, tcsetwinsize},
    };
    use std::io::Read as _;
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    unlockpt(&ours).expect("a terminal of our own");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("any size");
    let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
    let theirs = || fs::OpenOptions::new().read(true).write(true).open(&name).expect("it is ours");
    let mut command = command(args);
    command.env_remove("NO_COLOR").env("TERM", term).stdin(Stdio::null()).stdout(theirs()).stderr(theirs());
    let mut child = command.spawn().expect("the command starts");
    // Only the child has it open from here on: its end is the end of what we read.
    drop(command);
    let mut written = Vec::new();
    let _ = fs::File::from(ours).read_to_end(&mut written);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", text(&written));
    text(&written)
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_drawn_on_as_far_as_it_can_be() {
    let dir = Dir::new("terminal");
    fs::create_dir(dir.path("cat")).unwrap();
    for at in 0..40 {
        fs::copy(CAT, dir.path(&format!("cat/{at}.png"))).unwrap();
    }
    let folder = dir.path("");
    let classify = ["classify", "--backend", "cpu", CAT];
    let eval = ["eval", &folder, "--batch", "1", "--backend", "cpu"];
    let drawn = on_terminal(&classify, "xterm", 40);
    assert!(drawn.contains("\x1b[1m") && drawn.contains("█"), "{drawn}");
    // No colours, and no bar that is drawn again and again.
    for args in [&classify[..], &eval] {
        let plain = on_terminal(args, "dumb", 40);
        assert!(!plain.contains('\x1b') && !plain.trim_end().replace("\r\n", "").contains('\r'), "{plain:?}");
    }
    let bar = on_terminal(&eval, "xterm", 40);
    let lines: Vec<String> = bar.split(['\r', '\n']).map(|line| console::strip_ansi_codes(line).trim_end().to_string()).collect();
    let bars: Vec<&String> = lines.iter().filter(|line| line.contains("/40")).collect();
    assert!(!bars.is_empty() && bars.iter().all(|line| line.chars().count() <= 40), "{bars:?}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_error() {
    for args in [&["models"][..], &["models", "--json"], &["inspect"], &["classify", "--backend", "cpu", CAT, CAT], &["--help"]] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the command ends");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
    }
}
