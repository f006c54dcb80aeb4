use super::*;
use crate::image_input::{CropMode, Interpolation, Preprocess};

/// A folder of one test, removed with its files at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ghostnet_checkpoint_{test}_{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        // Some file systems flush a file that is overwritten in place to the disk, which is slow.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).expect("the temporary folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A safetensors file of this header and these bytes of data.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A safetensors file of one tensor `w`.
fn single(dtype: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    raw(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[0,{}]}}}}"#, data.len()), data)
}

/// A sound safetensors file with this metadata, given as the fields of a JSON object.
fn with_metadata(fields: &str) -> Vec<u8> {
    raw(&format!(r#"{{"__metadata__":{{{fields}}},"w":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#), &[0; 4])
}

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn made(tensors: &[(&str, &[usize])]) -> Checkpoint {
    let tensor = |shape: &[usize]| Tensor { shape: shape.to_vec(), data: vec![0.5; shape.iter().product()].into() };
    Checkpoint::from_tensors("made", tensors.iter().map(|(name, shape)| (name.to_string(), tensor(shape))), Config::default())
}

/// The message of an error, after checking that it is one line.
#[track_caller]
fn message<T: fmt::Debug>(result: Result<T>) -> String {
    let text = result.expect_err("it is refused").to_string();
    assert!(!text.contains('\n') && text.len() < 1500, "{text}");
    text
}

#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) {
    let text = message(Checkpoint::from_bytes("w.safetensors", bytes));
    assert!(text.starts_with("w.safetensors: ") && parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn every_float_type_becomes_f32() {
    let values = [0.5f32, -1.5, 0.0, 65504.0];
    let cases: [(&str, Vec<u8>); 4] = [
        ("F32", le(&values)),
        ("F64", values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect()),
        ("F16", values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()),
        ("BF16", values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()),
    ];
    for (dtype, data) in cases {
        let checkpoint = Checkpoint::from_bytes("memory", &single(dtype, &[2, 2], &data)).unwrap();
        let expected = if dtype == "BF16" { [0.5, -1.5, 0.0, 65536.0] } else { values };
        assert_eq!(checkpoint.shape("w"), Some(&[2, 2][..]), "{dtype}");
        assert_eq!(checkpoint.get("w").unwrap().data[..], expected, "{dtype}");
    }
}

#[test]
fn other_types_are_refused_by_name_and_step_counts_are_skipped() {
    refused(&single("I64", &[1], &[0; 8]), &["`w`", "I64"]);
    refused(&single("F8_E4M3", &[8], &[0; 8]), &["`w`", "F8_E4M3"]);
    refused(&single("F128", &[1], &[0; 16]), &["`w`", "F128"]);
    let header = r#"{"bn.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},
        "w":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}"#;
    let checkpoint = Checkpoint::from_bytes("memory", &raw(header, &[0; 12])).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["w"]);
    assert_eq!(checkpoint.get("nothing"), None);
}

#[test]
fn numbers_that_are_none_are_refused_with_their_position() {
    let mut values = vec![0.25f32; 3 * 5000];
    values[7003] = f32::NAN;
    refused(&single("F32", &[3, 50, 100], &le(&values)), &["`w`", "NaN at [1, 20, 3]"]);
    values[7003] = f32::NEG_INFINITY;
    refused(&single("F32", &[3, 50, 100], &le(&values)), &["`w`", "-inf at [1, 20, 3]"]);
    refused(&single("F64", &[1], &1e300f64.to_le_bytes()), &["`w`", "inf at [0]"]);
    refused(&single("F16", &[1], &f16::NAN.to_le_bytes()), &["`w`", "NaN at [0]"]);
}

#[test]
fn a_lying_header_is_refused_by_name_with_both_numbers() {
    let two = |first: &str, second: &str| {
        let header = format!(
            r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":{first}}},"b":{{"dtype":"F32","shape":[1],"data_offsets":{second}}}}}"#
        );
        raw(&header, &[0; 8])
    };
    assert!(Checkpoint::from_bytes("memory", &two("[0,4]", "[4,8]")).is_ok());
    refused(&two("[0,4]", "[8,12]"), &["cut off", "`b`", "8 to 12 of 8"]);
    refused(&two("[0,4]", "[8,4]"), &["`b`", "8 to 4"]);
    refused(&two("[0,4]", "[2,6]"), &["`b` begins at 2", "ends at 4"]);
    refused(&two("[0,4]", "[0,4]"), &["`b` begins at 0", "ends at 4"]);
    refused(&two("[0,4]", "[-4,8]"), &["`b`", "data_offsets"]);
    refused(&single("F32", &[2, 2], &[0; 12]), &["`w` is F32 [2, 2], that is 16 bytes, and has 12"]);
    refused(&single("F32", &[usize::MAX, 2], &[0; 12]), &["`w`", "too many bytes, and has 12"]);
    refused(&[single("F32", &[1], &[0; 4]), vec![0; 3]].concat(), &["take 4 bytes", "7 bytes of data"]);
    refused(&raw("{}", &[]), &["no tensors"]);
    refused(&raw("{not json}", &[]), &["header"]);
    refused(&raw("{\"\u{1f}", &[]), &["header"]);
    refused(&raw(r#"{"w":3}"#, &[]), &["`w`"]);
    refused(&raw(&format!("{{\"w\":{}", "[".repeat(100_000)), &[]), &["header"]);
    let mut huge = single("F32", &[1], &[0; 4]);
    huge[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
    refused(&huge, &["header of 1152921504606846976 bytes"]);
    let long_name = format!(r#"{{"{}\n":{{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}}}"#, "x".repeat(100_000));
    refused(&raw(&long_name, &[0]), &["I8"]);
}

#[test]
fn names_behind_wrappers_are_found_in_safetensors_too() {
    let file = |names: &[&str]| {
        let entry =
            |(at, name): (usize, &&str)| format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}}"#, 4 * at, 4 * at + 4);
        let entries: Vec<String> = names.iter().enumerate().map(entry).collect();
        raw(&format!("{{{}}}", entries.join(",")), &le(&(0..names.len()).map(|at| at as f32).collect::<Vec<_>>()))
    };
    for (names, expected) in [
        (&["module.w", "module.b"][..], &["b", "w"][..]),
        (&["module._orig_mod.net.w"], &["w"]),
        (&["backbone.a.w", "backbone.b"], &["a.w", "b"]),
        (&["model.w", "head.w"], &["head.w", "model.w"]),
        (&["state_dict.w", "state_dict_ema.module.w"], &["w"]),
        (&["w", "total_ops", "a.total_params", "a.num_batches_tracked", "classifier_dist.bias"], &["w"]),
    ] {
        let checkpoint = Checkpoint::from_bytes("memory", &file(names)).unwrap();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), expected, "{names:?}");
    }
    let averages = Checkpoint::from_bytes("memory", &file(&["state_dict.w", "state_dict_ema.module.w"])).unwrap();
    assert_eq!(averages.get("w").unwrap().data[..], [1.0]);
    assert_eq!(averages.notes(), ["the weights are those under `state_dict_ema`"]);

    // One prefix of any name, by the name of a tensor that the network has.
    let student = Checkpoint::from_bytes("memory", &file(&["student.x.stem", "student.x.b", "loss.w"])).unwrap();
    assert_eq!(student.with_first("stem").names().collect::<Vec<_>>(), ["b", "loss.w", "stem"]);
    let several = ["a.state_dict.stem", "a.state_dict.b", "a.state_dict_ema.stem", "a.state_dict_ema.b", "epoch"];
    let averages = Checkpoint::from_bytes("memory", &file(&several)).unwrap();
    let averages = averages.with_first("stem");
    assert_eq!(averages.names().collect::<Vec<_>>(), ["b", "epoch", "stem"]);
    assert_eq!(averages.get("b").unwrap().data[..], [3.0]);
    assert_eq!(averages.notes(), ["the weights are those under `a.state_dict_ema`"]);
    let two = Checkpoint::from_bytes("memory", &file(&["student.stem", "teacher.stem"])).unwrap();
    assert_eq!(two.with_first("stem").names().count(), 2);
    let text = message(crate::Network::from_checkpoint(&two).map(drop));
    assert!(
        text.contains("2 tensors are there: `student.stem`, `teacher.stem`; names begin with `student.` (1), `teacher.` (1)"),
        "{text}"
    );
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let whole = with_metadata(r#""architecture":"ghostnet_100""#);
    assert!(Checkpoint::from_bytes("memory", &whole).is_ok());
    for length in 0..whole.len() {
        message(Checkpoint::from_bytes("memory", &whole[..length]));
    }
}

#[test]
fn files_of_other_kinds_are_called_what_they_are() {
    let folder = Folder::new("kinds");
    let cases: [(&str, &[u8], &str); 8] = [
        ("empty.safetensors", b"", "is empty"),
        ("pointer.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 20821\n", "git-LFS pointer"),
        ("page.pth", b"\n<!DOCTYPE html>\n<html><title>404</title>", "HTML page"),
        ("page.safetensors", b"\xef\xbb\xbf<HTML lang=\"de\">\xc3\xbc", "HTML page"),
        ("notes.safetensors", "Gewichte f\u{fc}r das Netz: {siehe oben}\n".as_bytes(), "text file"),
        ("config.safetensors", b"{\n \"a\":{}}", "text file"),
        ("picture.safetensors", b"\x89PNG\r\n\x1a\n\x00\x00", "begins with 89 50 4e 47 0d 0a 1a 0a"),
        ("short.safetensors", b"\x00\x01", "begins with 00 01"),
    ];
    for (name, bytes, part) in cases {
        let text = message(Checkpoint::open(&folder.file(name, bytes)));
        assert!(text.contains(name) && text.contains(part), "{text}");
        assert!(message(Checkpoint::from_bytes(name, bytes)).contains(part));
    }
}

#[test]
fn what_is_no_file_is_an_io_error() {
    let folder = Folder::new("no_file");
    let missing = Checkpoint::open(&folder.0.join("missing.safetensors"));
    assert!(matches!(&missing, Err(Error::Io { .. })));
    assert!(message(missing).ends_with("missing.safetensors: no such file"));
    let directory = Checkpoint::open(&folder.0);
    assert!(matches!(&directory, Err(Error::Io { .. })));
    assert!(message(directory).contains("a directory"));
    if cfg!(unix) {
        assert!(message(Checkpoint::open(Path::new("/dev/zero"))).contains("not a regular file"));
    }
    // Sparse: it takes no room on the disk.
    let large = folder.0.join("large.safetensors");
    if File::create(&large).and_then(|file| file.set_len((2 << 30) + 1)).is_ok() {
        assert!(message(Checkpoint::open(&large)).contains("2147483649 bytes long, at most 2147483648"));
    }
}

#[test]
fn check_names_what_is_missing_extra_and_misshapen() {
    let expected = |tensors: &[(&str, &[usize])]| -> Vec<(String, Vec<usize>)> {
        tensors.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect()
    };
    let network = expected(&[("a", &[2, 3]), ("b", &[4]), ("bn.num_batches_tracked", &[])]);
    made(&[("a", &[2, 3]), ("b", &[4]), ("x.num_batches_tracked", &[])]).check(&network).unwrap();

    let text = message(made(&[("a", &[3, 2]), ("c", &[1])]).check(&network));
    assert_eq!(
        text,
        "made: 1 tensor is missing: `b`; 1 tensor is not in this network: `c`; 1 tensor is of another shape: `a` is [3, 2] and should be [2, 3]"
    );

    let many: Vec<String> = (0..9).map(|index| format!("w{index}")).collect();
    let many: Vec<(&str, &[usize])> = many.iter().map(|name| (name.as_str(), &[1][..])).collect();
    assert_eq!(message(made(&[]).check(&expected(&many))), "made: 9 tensors are missing: `w0`, `w1`, `w2`, `w3` and 5 more");

    let torn = Tensor { shape: vec![4], data: vec![0.0; 3].into() };
    let torn = Checkpoint::from_tensors("made", [("b".to_string(), torn)], Config::default());
    assert!(message(torn.check(&expected(&[("b", &[4])]))).contains("`b` is [4] and holds 3 elements"));
    assert!(message(torn.write_safetensors(Path::new("unused"))).contains("`b` is [4] and holds 3 elements"));
}

#[test]
fn metadata_becomes_the_configuration() {
    let fields = r#""architecture":"ghostnet_050","stem_stride":"1","num_classes":"2","labels":"[\"cat\", \"dog\"]",
        "input_size":"[3, 32, 48]","mean":"[0.1, 0.2, 0.3]","std":"[0.4, 0.5, 0.6]","interpolation":"bilinear","crop_pct":"1.0","format":"pt","test_top1":"0.8123""#;
    let preprocess = Preprocess {
        size: [32, 48],
        mean: [0.1, 0.2, 0.3],
        std: [0.4, 0.5, 0.6],
        interpolation: Interpolation::Bilinear,
        crop_pct: 1.0,
        ..Preprocess::default()
    };
    let expected = Config {
        architecture: Some("ghostnet_050".into()),
        stem_stride: Some(1),
        num_classes: Some(2),
        labels: Some(vec!["cat".into(), "dog".into()]),
        label_names: None,
        preprocess: Some(preprocess),
        test_top1: Some(0.8123),
    };
    assert_eq!(*Checkpoint::from_bytes("memory", &with_metadata(fields)).unwrap().config(), expected);

    let part = Checkpoint::from_bytes("memory", &with_metadata(r#""labels":"[\"cat\"]","crop_pct":"0.9""#)).unwrap();
    assert_eq!(part.config().num_classes, Some(1));
    assert_eq!(part.config().preprocess, Some(Preprocess { crop_pct: 0.9, ..Preprocess::default() }));
    assert_eq!(*Checkpoint::from_bytes("memory", &single("F32", &[1], &[0; 4])).unwrap().config(), Config::default());
    for no_share in ["81.2", "-0.1", "81 %", "null"] {
        let file = with_metadata(&format!(r#""test_top1":"{no_share}""#));
        assert_eq!(*Checkpoint::from_bytes("memory", &file).unwrap().config(), Config::default(), "{no_share}");
    }
}

#[test]
fn a_config_in_memory_says_what_the_file_leaves_open() {
    let file = with_metadata(r#""crop_pct":"0.9""#);
    let read = |config: &[u8]| Checkpoint::from_bytes_with("memory", &file, config);
    let config = read(br#"{"architecture":"ghostnet_100","pretrained_cfg":{"crop_pct":0.5,"input_size":[3,32,32]}}"#).unwrap();
    assert_eq!(config.config().architecture.as_deref(), Some("ghostnet_100"));
    assert_eq!(config.config().preprocess, Some(Preprocess { crop_pct: 0.9, size: [32, 32], ..Preprocess::default() }));
    assert!(message(read(b"<!doctype html>")).starts_with("config.json: not JSON"));
}

#[test]
fn impossible_values_are_refused_by_key() {
    let cases = [
        (r#""std":"[0.2, 0, 0.2]""#, "std is [0.2,0,0.2], not three numbers above 0"),
        (r#""std":"[1e-60, 1, 1]""#, "std"),
        (r#""mean":"[0.5]""#, "mean"),
        (r#""mean":"[1e300, 0, 0]""#, "mean"),
        (r#""crop_pct":"-0.5""#, "crop_pct is -0.5"),
        (r#""crop_pct":"1.2""#, "crop_pct"),
        (r#""crop_pct":"wide""#, "crop_pct is `wide`, not JSON"),
        (r#""input_size":"[3, 0, 32]""#, "input_size"),
        (r#""input_size":"[1, 28, 28]""#, "input_size"),
        (r#""input_size":"[3, 224, 1e9]""#, "input_size"),
        (r#""interpolation":"lanczos""#, "interpolation is \"lanczos\", not bilinear or bicubic"),
        (r#""num_classes":"0""#, "num_classes"),
        (r#""num_classes":"18446744073709551615""#, "num_classes"),
        (r#""stem_stride":"0""#, "stem_stride"),
        (r#""labels":"[1, 2]""#, "labels"),
        (r#""num_classes":"3","labels":"[\"cat\"]""#, "labels holds 1 names, num_classes is 3"),
    ];
    for (fields, part) in cases {
        refused(&with_metadata(fields), &[part]);
    }
}

#[test]
fn config_json_fills_what_the_metadata_leaves_open() {
    let folder = Folder::new("config_json");
    let weights = folder.file("model.safetensors", with_metadata(r#""architecture":"ghostnet_050","mean":"[0.1, 0.2, 0.3]""#));
    assert_eq!(Checkpoint::open(&weights).unwrap().config().num_classes, None);

    let file = folder.file(
        "config.json",
        r#"{"architecture": "ghostnet_100", "num_classes": 2, "label_names": ["n01440764", "n01443537"],
            "label_descriptions": {"n01440764": "tench"}, "stem_stride": null,
            "pretrained_cfg": {"input_size": [3, 224, 192], "interpolation": "bilinear", "crop_pct": 0.95, "num_classes": 1000,
                               "mean": [0, 0, 0], "std": [1, 1, 1]}}"#,
    );
    let preprocess = Preprocess {
        size: [224, 192],
        mean: [0.1, 0.2, 0.3],
        std: [1.0; 3],
        interpolation: Interpolation::Bilinear,
        crop_pct: 0.95,
        ..Preprocess::default()
    };
    let expected = Config {
        architecture: Some("ghostnet_050".into()),
        stem_stride: None,
        num_classes: Some(2),
        labels: Some(vec!["tench".into(), "n01443537".into()]),
        label_names: Some(vec!["n01440764".into(), "n01443537".into()]),
        preprocess: Some(preprocess),
        test_top1: None,
    };
    assert_eq!(*Checkpoint::open(&weights).unwrap().config(), expected);

    // The conflict is between the two files.
    let labelled = folder.file("labelled.safetensors", with_metadata(r#""num_classes":"5""#));
    assert!(message(Checkpoint::open(&labelled)).contains("labels holds 2 names, num_classes is 5"));

    for (text, part) in [
        ("{", "not JSON"),
        (r#"{"pretrained_cfg": {"std": [0, 1, 1]}}"#, "std is [0,1,1]"),
        (r#"{"interpolation": "random"}"#, "interpolation is \"random\""),
        (r#"{"label_names": "cat"}"#, "label_names"),
        (r#"{"label_names": ["cat"], "num_classes": 2}"#, "labels holds 1 names"),
    ] {
        folder.file("config.json", text);
        let text = message(Checkpoint::open(&weights));
        assert!(text.starts_with(&file.display().to_string()) && text.contains(part), "{text}");
    }
    // Names by number, and what else changes pixels: honoured, or refused by name.
    folder.file(
        "config.json",
        r#"{"label_names": {"1": "b", "0": "a"}, "label_descriptions": {"b": "bee"}, "input_size": [3, 8, 8],
        "test_input_size": [3, 9, 10], "crop_pct": 0.5, "test_crop_pct": 1.0, "pretrained_cfg": {"crop_mode": "squash"}}"#,
    );
    let config = Checkpoint::open(&weights).unwrap().config().clone();
    assert_eq!(config.labels, Some(vec!["a".into(), "bee".into()]));
    assert_eq!(config.label_names, Some(vec!["a".into(), "b".into()]));
    let preprocess = config.preprocess.unwrap();
    assert_eq!((preprocess.size, preprocess.crop_pct, preprocess.crop_mode), ([9, 10], 1.0, CropMode::Squash));
    for (text, part) in [
        (r#"{"crop_mode": "border"}"#, "crop_mode is \"border\", not center or squash"),
        (r#"{"label_names": {"0": "a", "2": "b"}}"#, "label_names is"),
        (r#"{"in_chans": 1}"#, "in_chans is 1, not 3"),
        (r#"{"pretrained_cfg": {"input_space": "BGR"}}"#, "input_space is \"BGR\", not \"RGB\""),
        (r#"{"input_range": [0, 255]}"#, "input_range is [0,255], not [0,1]"),
    ] {
        folder.file("config.json", text);
        let text = message(Checkpoint::open(&weights));
        assert!(text.contains(part), "{text}");
    }
    for unrelated in ["[1, 2]", r#"{"dependencies": {}}"#] {
        folder.file("config.json", unrelated);
        assert_eq!(Checkpoint::open(&weights).unwrap().config().num_classes, None);
    }
}

#[test]
fn what_is_written_is_read_back() {
    let folder = Folder::new("written");
    let tensors = [
        ("b".to_string(), Tensor { shape: vec![2, 1, 2], data: [0.1, -0.0, f32::MIN_POSITIVE, f32::MAX].into() }),
        ("a".to_string(), Tensor { shape: vec![], data: [3.0].into() }),
        ("none".to_string(), Tensor { shape: vec![0, 7], data: [].into() }),
    ];
    let config = Config {
        architecture: Some("ghostnet_130".into()),
        stem_stride: Some(2),
        num_classes: Some(2),
        labels: Some(vec!["a \"quoted\" name".into(), "日本".into()]),
        label_names: None,
        preprocess: Some(Preprocess { mean: [0.1, 0.2, 1e-7], ..Preprocess::default() }),
        test_top1: Some(0.9),
    };
    let path = folder.file("model.safetensors", "an older file");
    Checkpoint::from_tensors("made", tensors.clone(), config.clone()).write_safetensors(&path).unwrap();
    let read = Checkpoint::open(&path).unwrap();
    assert_eq!(read.file(), path);
    assert_eq!(read.config(), &config);
    assert_eq!(read.names().collect::<Vec<_>>(), ["a", "b", "none"]);
    for (name, tensor) in &tensors {
        assert_eq!(read.get(name), Some(tensor));
    }
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no temporary file is left");
    assert!(matches!(read.write_safetensors(&folder.0.join("no/folder/w")), Err(Error::Io { .. })));
    assert!(format!("{read:?} {:?}", read.get("b")).len() < 300);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pth").join(name)
}

#[cfg(not(feature = "pth"))]
#[test]
fn a_pytorch_checkpoint_needs_the_feature() {
    assert!(message(Checkpoint::open(&fixture("zip.pth"))).contains("feature `pth`"));
}

#[cfg(feature = "pth")]
mod pth {
    use super::*;

    /// The numbers of tools/make_pth_fixtures.py.
    #[test]
    fn every_form_of_torch_save_is_read() {
        let expected: [(&str, &[usize], &[f32]); 6] = [
            ("bn.bias", &[2], &[2.0, -0.25]),
            ("bn.running_var", &[2], &[1.0, 4.0]),
            ("bn.weight", &[2], &[0.5, -1.5]),
            ("conv.weight", &[2, 3, 2, 1], &[0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75]),
            ("fc.bias", &[2], &[0.0, 1234.5]),
            ("fc.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ];
        for name in ["zip.pth", "legacy.pth", "nested_zip.pth"] {
            let checkpoint = Checkpoint::open(&fixture(name)).unwrap();
            assert_eq!(checkpoint.names().collect::<Vec<_>>(), expected.map(|(name, ..)| name), "{name}");
            for (tensor, shape, data) in expected {
                assert_eq!(checkpoint.shape(tensor), Some(shape), "{name} {tensor}");
                assert_eq!(checkpoint.get(tensor).unwrap().data[..], *data, "{name} {tensor}");
            }
        }
    }

    #[test]
    fn the_name_does_not_matter_and_config_json_is_read() {
        let folder = Folder::new("pth_config");
        folder.file("config.json", r#"{"architecture": "ghostnet_100", "pretrained_cfg": {"crop_pct": 0.9}}"#);
        let weights = folder.file("weights.safetensors", std::fs::read(fixture("legacy.pth")).unwrap());
        let config = Checkpoint::open(&weights).unwrap().config().clone();
        assert_eq!(config.architecture.as_deref(), Some("ghostnet_100"));
        assert_eq!(config.preprocess, Some(Preprocess { crop_pct: 0.9, ..Preprocess::default() }));
    }

    /// The legacy form is unchecked bytes, so a test can change them.
    fn changed(from: &[u8], to: &[u8]) -> Vec<u8> {
        let bytes = std::fs::read(fixture("legacy.pth")).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from).expect("the fixture holds it");
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    }

    #[test]
    fn bad_elements_are_refused_by_name() {
        let folder = Folder::new("pth_elements");
        let nan = folder.file("nan.pth", changed(&1234.5f32.to_le_bytes(), &f32::NAN.to_le_bytes()));
        assert!(message(Checkpoint::open(&nan)).contains("tensor `fc.bias` has NaN at [1]"));
        // The first tensor's storage; it takes as many bytes.
        let integers = folder.file("integers.pth", changed(b"FloatStorage\n", b"IntStorage\n"));
        let text = message(Checkpoint::open(&integers));
        assert!(text.contains("I32, not f16"), "{text}");
        // [2] becomes [2^31 - 1], over a storage of 2 elements.
        let large = folder.file("large.pth", changed(b"K\x02\x85q", b"J\xff\xff\xff\x7f\x85q"));
        let text = message(Checkpoint::open(&large));
        assert!(text.contains("2147483647"), "{text}");
        let text = message(Checkpoint::open(&fixture("expanded.pth")));
        assert!(text.contains("take 1000000000 bytes, over four times"), "{text}");
    }

    #[test]
    fn damaged_files_are_refused_in_one_line() {
        let folder = Folder::new("pth_damage");
        let garbage = |seed: u32| (0..400u32).map(move |index| ((index ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8);
        for seed in 0..200 {
            let bytes: Vec<u8> = [0x80, 2 + (seed % 4) as u8].into_iter().chain(garbage(seed)).collect();
            message(Checkpoint::open(&folder.file("garbage.pth", bytes)));
        }
        message(Checkpoint::open(&folder.file("empty.pth", b"\x80\x02}q\x00.")));
        message(Checkpoint::open(&folder.file("deep.pth", [b"\x80\x02".to_vec(), vec![b'('; 100_000], vec![b't'; 100_000]].concat())));
        for name in ["zip.pth", "legacy.pth"] {
            let whole = std::fs::read(fixture(name)).unwrap();
            for length in (0..whole.len()).step_by(13) {
                message(Checkpoint::open(&folder.file("cut.pth", &whole[..length])));
            }
            for at in (0..whole.len()).step_by(3) {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x15;
                // A changed number may pass.
                let result = Checkpoint::open(&folder.file("changed.pth", bytes));
                if result.is_err() {
                    message(result);
                }
            }
        }
    }

    #[test]
    fn a_checkpoint_in_memory_is_read_as_a_file_is() {
        let bytes = std::fs::read(fixture("zip.pth")).unwrap();
        assert_eq!(Checkpoint::from_bytes("memory", &bytes).unwrap().names().count(), 6);
    }

    fn text(text: &str) -> Vec<u8> {
        [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
    }

    /// A float tensor of a storage of so many elements, as `torch.save` pickles it.
    fn float(key: &str, count: u8) -> Vec<u8> {
        let storage = [b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(key), text("cpu"), vec![b'K', count]];
        let shape = [b"NtQK\0(K", &[count][..], b"t(K\x01t\x89ccollections\nOrderedDict\n)RtR"].concat();
        [b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(), storage.concat(), shape].concat()
    }

    /// A file, without an archive, of a pickle that uses the float storages `0` and `1`, each of
    /// which holds its number.
    fn file(root: &[u8]) -> Vec<u8> {
        let keys = ["0", "1"].into_iter().filter(|key| root.windows(6).any(|window| window == text(key)));
        let keys: Vec<&str> = keys.collect();
        let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
        let system = [b"\x80\x02}".to_vec(), text("little_endian"), b"\x88s.".to_vec()].concat();
        let list = [b"\x80\x02](".to_vec(), keys.iter().flat_map(|key| text(key)).collect(), b"e.".to_vec()].concat();
        let storage = |key: &&str| [&1u64.to_le_bytes()[..], &key.parse::<f32>().unwrap().to_le_bytes()].concat();
        let storages: Vec<u8> = keys.iter().flat_map(storage).collect();
        [&magic[..], &system, b"\x80\x02", root, b".", &list, &storages].concat()
    }

    fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        [b"}(".to_vec(), entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect(), b"u".to_vec()].concat()
    }

    #[test]
    fn containers_and_wrappers_are_taken_off_in_the_order_of_timm() {
        let one = |name: &str, key: &str| dict(&[(name, float(key, 1))]);
        for (root, value, taken) in [
            (dict(&[("state_dict", one("w", "0")), ("epoch", b"K\x03".to_vec())]), 0.0, Some("state_dict")),
            (dict(&[("state_dict", one("w", "0")), ("state_dict_ema", one("w", "1"))]), 1.0, Some("state_dict_ema")),
            (dict(&[("model", one("w", "0")), ("model_ema", one("module.w", "1"))]), 1.0, Some("model_ema")),
            (dict(&[("params", one("w", "0")), ("params_ema", one("w", "1"))]), 1.0, Some("params_ema")),
            (dict(&[("weights", one("w", "0")), ("net", one("w", "1"))]), 1.0, Some("net")),
            (dict(&[("model_state_dict", one("module._orig_mod.w", "1")), ("optimizer", one("w", "0"))]), 1.0, Some("model_state_dict")),
            (dict(&[("model", dict(&[("state_dict", one("w", "1"))]))]), 1.0, Some("model.state_dict")),
            (one("_orig_mod.module.backbone.net.model.w", "1"), 1.0, None),
        ] {
            let checkpoint = Checkpoint::from_bytes("memory", &file(&root)).unwrap();
            assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["w"]);
            assert_eq!(checkpoint.get("w").unwrap().data[..], [value]);
            let notes = taken.map(|taken| format!("the weights are those under `{taken}`"));
            assert_eq!(checkpoint.notes().first(), notes.as_ref());
        }
    }

    #[test]
    fn what_training_leaves_in_a_checkpoint_is_passed_over() {
        // Of classes that extend dict and list, a deque, a set, a tuple and a number as keys, a
        // complex number, and an object whose class nobody knows.
        let extras: &[&[u8]] = &[
            b"cmine\nConfig\n)\x81(X\x01\0\0\0aK\x01u}b",
            b"cmine\nHistory\n)\x81(K\x01K\x02e",
            b"ccollections\ndeque\n)R(K\x01e",
            b"c__builtin__\nset\n](K\x01e\x85R",
            b"}(K\x01K\x02\x86K\x03K\x04K\x05u",
            b"c__builtin__\ncomplex\nG\0\0\0\0\0\0\0\0G\0\0\0\0\0\0\0\0\x86R",
            b"ccollections\nCounter\n}X\x01\0\0\0aK\x01s\x85R",
            b"cargparse\nNamespace\n)\x81}X\x01\0\0\0aNsb",
        ];
        let mut entries = vec![("w", float("0", 1)), ("conv.total_ops", float("1", 1)), ("total_params", float("1", 1))];
        entries.extend([("bn.num_batches_tracked", float("1", 1)), ("head_dist.weight", float("1", 1))]);
        entries.extend(extras.iter().map(|extra| ("extra", extra.to_vec())));
        let checkpoint = Checkpoint::from_bytes("memory", &file(&dict(&entries))).unwrap();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["w"]);
        assert_eq!(checkpoint.notes(), ["4 tensors that only training uses are passed over"]);
        // A state dict may itself be of such a class, or an ordered dict of a list of pairs.
        let own = [&b"cmine\nState\n)\x81("[..], &text("w"), &float("1", 1), b"u"].concat();
        let pairs = [&b"ccollections\nOrderedDict\n](]("[..], &text("w"), &float("1", 1), b"ee\x85R"].concat();
        for root in [own, pairs] {
            assert_eq!(Checkpoint::from_bytes("memory", &file(&root)).unwrap().get("w").unwrap().data[..], [1.0]);
        }
    }

    #[test]
    fn pickles_without_end_are_refused_in_little_time() {
        let start = std::time::Instant::now();
        // Values, marks, and what is kept; each more often than any file of this length has.
        for operations in [&b"]"[..], b"(", b"N\x85", b"NN\x86", b"N2", b"K\x01", b"N\x94", b"}q\0"] {
            let pickle = [b"\x80\x04", &operations.repeat(10 << 20)[..], b"."].concat();
            message(Checkpoint::from_bytes("memory", &pickle));
        }
        // A dict that is in itself, and dicts that hold the last twice each.
        let circle = b"\x80\x02}q\0X\x01\0\0\0ah\0s.".to_vec();
        let mut twice = b"\x80\x02}q\0".to_vec();
        for at in 0..60u8 {
            twice.extend([b"}(X\x01\0\0\0ah", &[at][..], b"X\x01\0\0\0bh", &[at], b"uq", &[at + 1]].concat());
        }
        twice.push(b'.');
        for pickle in [circle, twice] {
            assert!(message(Checkpoint::from_bytes("memory", &pickle)).contains("in each other without end"));
        }
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}
