//! NumPy's `.npy` files: tensors in and out of the command line, and expected values of tests.
//!
//! This is own code rather than a crate, for the format is a dict of three keys and the raw values.
//! The crate at hand builds a grammar parser and big integers for it, allocates what a header
//! claims and leaves checking the length to the caller.
//!
//! Reads float16, float32, float64, int32, int64 and bool, little endian, in C or Fortran order.
//! Writes float32, int32, int64 and bool in C order. Archives (`.npz`), pickled objects, record
//! types and several arrays in one file are refused.
//!
//! Format: `numpy/lib/_format_impl.py` (NEP 1), versions 1.0 to 3.0.

use crate::{
    error::{Error, Result},
    file,
    tensor::{AnyTensor, Tensor, Values, count},
};
use std::{
    io::{self, BufWriter, Read, Write},
    ops::Deref,
    path::Path,
};

const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy itself refuses to parse a header over 10 000 bytes; one of ours is 128.
const MAX_HEADER: usize = 65_536;

/// NumPy's own limit.
const MAX_DIMS: usize = 64;

/// Reads one array of floats, in C order (the last dimension varies fastest). A scalar has the
/// shape `[]`.
///
/// float64 is rounded to f32, beyond its range to infinity. Memory is taken as the values arrive,
/// never on the word of a header.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, is not `.npy`, holds another type, or is shorter or
/// longer than its header says.
pub fn read(path: &Path) -> Result<Tensor> {
    let any = read_any(path)?;
    match any.data {
        Values::F32(data) => Ok(Tensor { shape: any.shape, data }),
        other => Err(Error::file(path, io::ErrorKind::InvalidData, format!("holds {}, f32 is needed", other.element().name()))),
    }
}

/// As [`read`], of any type that a network takes: floats, 32-bit and 64-bit integers, booleans.
///
/// # Errors
/// As [`read`].
pub fn read_any(path: &Path) -> Result<AnyTensor> {
    let (mut file, _) = file::open(path)?;
    read_from(path, &mut file)
}

/// As [`read_any`], from anything; `origin` names it in messages.
///
/// # Errors
/// As [`read`].
pub fn read_from(origin: &Path, input: &mut impl Read) -> Result<AnyTensor> {
    decode(input).map_err(|what| Error::file(origin, io::ErrorKind::InvalidData, what))
}

/// The shape of an array, by its header alone.
///
/// # Errors
/// As [`read`].
pub fn shape(path: &Path) -> Result<Vec<usize>> {
    let (mut file, _) = file::open(path)?;
    Header::read(&mut file).map(|header| header.shape).map_err(|what| Error::file(path, io::ErrorKind::InvalidData, what))
}

/// Writes a tensor as float32 in C order, replacing the file whole or not at all. A pipe or device
/// is written to directly.
///
/// # Errors
/// [`Error::Shape`] if its shape does not fit its values, [`Error::Io`] if the file cannot be
/// written.
pub fn write(path: &Path, tensor: &Tensor) -> Result<()> {
    let Tensor { shape, data } = tensor;
    check_shape(path, shape, data.len())?;
    file::replace(path, |file| encode(file, shape, "<f4", &mut data.iter().map(|value| value.to_le_bytes().into())))
}

/// As [`write()`], in the tensor's own type.
///
/// # Errors
/// As [`write()`].
pub fn write_any(path: &Path, tensor: &AnyTensor) -> Result<()> {
    check_shape(path, &tensor.shape, tensor.data.len())?;
    file::replace(path, |file| encode_any(file, tensor))
}

/// As [`write_any`], to anything; `origin` names it in messages.
///
/// # Errors
/// As [`write()`].
pub fn write_to(origin: &Path, out: impl Write, tensor: &AnyTensor) -> Result<()> {
    check_shape(origin, &tensor.shape, tensor.data.len())?;
    encode_any(out, tensor).map_err(|error| Error::io(origin, error))
}

fn encode_any(out: impl Write, AnyTensor { shape, data }: &AnyTensor) -> io::Result<()> {
    match data {
        Values::F32(data) => encode(out, shape, "<f4", &mut data.iter().map(|value| value.to_le_bytes().into())),
        Values::I32(data) => encode(out, shape, "<i4", &mut data.iter().map(|value| value.to_le_bytes().into())),
        Values::I64(data) => encode(out, shape, "<i8", &mut data.iter().map(|value| value.to_le_bytes().into())),
        Values::Bool(data) => encode(out, shape, "|b1", &mut data.iter().map(|&value| [u8::from(value)].into())),
    }
}

/// The little-endian bytes of one value.
struct Bytes([u8; 8], usize);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Self {
        Self(std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0)), N)
    }
}

fn check_shape(origin: &Path, shape: &[usize], values: usize) -> Result<()> {
    if count(shape) != Some(values) || shape.len() > MAX_DIMS {
        return Err(Error::shape(origin.display().to_string(), format!("shape {shape:?} cannot hold {values} values")));
    }
    Ok(())
}

fn encode(out: impl Write, shape: &[usize], descr: &str, values: &mut dyn Iterator<Item = Bytes>) -> io::Result<()> {
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    // "(3,)" and "(3, 4)", as Python prints them.
    let dims = if shape.len() == 1 { dims.trim_end() } else { dims.trim_end_matches(", ") };
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    // The values start at a multiple of 64 bytes. 64 dimensions of 20 digits stay below the 65 535
    // bytes of version 1.0.
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut out = BufWriter::with_capacity(1 << 16, out);
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&(length as u16).to_le_bytes())?;
    writeln!(out, "{dict:<width$}", width = length - 1)?;
    for value in values {
        out.write_all(&value)?;
    }
    out.flush()
}

#[derive(Clone, Copy)]
enum Kind {
    F16,
    F32,
    F64,
    I32,
    I64,
    Bool,
}

struct Header {
    kind: Kind,
    fortran: bool,
    shape: Vec<usize>,
}

/// Errors are the reason alone; the caller knows the file.
fn decode(input: &mut impl Read) -> Result<AnyTensor, String> {
    let Header { kind, fortran, shape } = Header::read(input)?;
    let (name, size) = match kind {
        Kind::F16 => ("float16", 2),
        Kind::F32 => ("float32", 4),
        Kind::F64 => ("float64", 8),
        Kind::I32 => ("int32", 4),
        Kind::I64 => ("int64", 8),
        Kind::Bool => ("bool", 1),
    };
    let needed = count(&shape)
        .and_then(|n| n.checked_mul(size))
        .filter(|&n| n < isize::MAX as usize)
        .ok_or_else(|| format!("shape {shape:?} is larger than any memory"))?;
    let mut bytes = Vec::new();
    let mut input = input.take(needed as u64 + 1);
    loop {
        // As much again as there is already, so that nothing is asked for on the word of a header.
        let more = (bytes.len() as u64).max(1 << 16);
        bytes.try_reserve(more as usize).map_err(|_| no_room(needed))?;
        if input.by_ref().take(more).read_to_end(&mut bytes).map_err(|e| e.to_string())? == 0 {
            break;
        }
    }
    if bytes.len() < needed {
        return Err(format!("truncated: shape {shape:?} of {name} needs {needed} bytes, the file has {}", bytes.len()));
    }
    if bytes.len() > needed {
        return Err(format!("shape {shape:?} of {name} needs {needed} bytes, the file has more"));
    }
    let c_order = Order { shape: &shape, fortran: fortran && shape.len() > 1 };
    let data = match kind {
        Kind::F16 => Values::F32(c_order.values(&bytes, |b| half::f16::from_le_bytes(b).to_f32())?),
        Kind::F32 => Values::F32(c_order.values(&bytes, f32::from_le_bytes)?),
        Kind::F64 => Values::F32(c_order.values(&bytes, |b| f64::from_le_bytes(b) as f32)?),
        Kind::I32 => Values::I32(c_order.values(&bytes, i32::from_le_bytes)?),
        Kind::I64 => Values::I64(c_order.values(&bytes, i64::from_le_bytes)?),
        Kind::Bool => Values::Bool(c_order.values(&bytes, |[b]| b != 0)?),
    };
    Ok(AnyTensor { shape, data })
}

/// The order in which a file has its values.
struct Order<'a> {
    shape: &'a [usize],
    fortran: bool,
}

impl Order<'_> {
    /// The values in C order.
    fn values<T: Copy, const N: usize>(&self, bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
        let bytes = bytes.as_chunks().0;
        let mut values = room(bytes.len())?;
        values.extend(bytes.iter().map(|bytes| value(*bytes)));
        if self.fortran { from_fortran(self.shape, &values) } else { Ok(values) }
    }
}

fn no_room(bytes: usize) -> String {
    format!("out of memory: {bytes} bytes more are needed")
}

fn room<T>(len: usize) -> Result<Vec<T>, String> {
    let mut room = Vec::new();
    room.try_reserve_exact(len).map_err(|_| no_room(len * size_of::<T>()))?;
    Ok(room)
}

/// Values whose first dimension varies fastest, to C order.
fn from_fortran<T: Copy>(shape: &[usize], values: &[T]) -> Result<Vec<T>, String> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut step = 1;
    for &d in shape {
        strides.push(step);
        step *= d;
    }
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    let mut out = room(values.len())?;
    for _ in 0..values.len() {
        out.push(values[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Ok(out)
}

impl Header {
    fn read(input: &mut impl Read) -> Result<Self, String> {
        let mut take = |n: usize, what: &str| {
            let mut bytes = Vec::new();
            input.take(n as u64).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
            if bytes.len() == n { Ok(bytes) } else { Err(what.to_string()) }
        };
        let start = take(8, "not an .npy file: shorter than 8 bytes")?;
        if start.starts_with(b"PK\x03\x04") {
            return Err("an .npz archive, not a single .npy array".into());
        }
        if !start.starts_with(MAGIC) {
            return Err("not an .npy file: it does not start with \\x93NUMPY".into());
        }
        let length = match start[6] {
            1 => {
                let b = take(2, "truncated in the header")?;
                u16::from_le_bytes([b[0], b[1]]) as usize
            }
            2 | 3 => {
                let b = take(4, "truncated in the header")?;
                u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize
            }
            major => return Err(format!(".npy version {major}.{}, this reads 1.0 to 3.0", start[7])),
        };
        if length > MAX_HEADER {
            return Err(format!("the header says it has {length} bytes, the limit is {MAX_HEADER}"));
        }
        let text = take(length, "truncated in the header")?;
        let text = std::str::from_utf8(&text).map_err(|_| "the header is not text".to_string())?;
        Header::parse(text)
    }

    /// The literal of a Python dict with the keys descr, fortran_order and shape.
    fn parse(text: &str) -> Result<Self, String> {
        let (mut kind, mut fortran, mut shape) = (None, None, None);
        let mut rest = Cursor(text.trim());
        rest.expect('{')?;
        while !rest.skip('}') {
            let key = rest.string()?;
            rest.expect(':')?;
            match key {
                "descr" => kind = Some(rest.kind()?),
                "fortran_order" => fortran = Some(rest.boolean()?),
                "shape" => shape = Some(rest.tuple()?),
                _ => return Err(format!("the header has the unknown key {key:?}")),
            }
            if !rest.skip(',') {
                rest.expect('}')?;
                break;
            }
        }
        if !rest.0.is_empty() {
            return Err(rest.unexpected("the end"));
        }
        let missing = |key| format!("the header has no {key:?}");
        Ok(Header {
            kind: kind.ok_or_else(|| missing("descr"))?,
            fortran: fortran.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }
}

/// What is left of the header; never starts with a space.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip(&mut self, c: char) -> bool {
        self.0.strip_prefix(c).map(|rest| self.0 = rest.trim_start()).is_some()
    }
    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.skip(c) { Ok(()) } else { Err(self.unexpected(&format!("`{c}`"))) }
    }
    fn unexpected(&self, wanted: &str) -> String {
        let here: String = self.0.chars().take(24).collect();
        format!("damaged header: {here:?} where {wanted} should be")
    }
    fn string(&mut self) -> Result<&'a str, String> {
        let quote = self.0.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(|| self.unexpected("a string"))?;
        let (text, rest) = self.0[1..].split_once(quote).ok_or_else(|| self.unexpected("a string"))?;
        self.0 = rest.trim_start();
        Ok(text)
    }
    fn boolean(&mut self) -> Result<bool, String> {
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest.trim_start();
                return Ok(value);
            }
        }
        Err(self.unexpected("True or False"))
    }
    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        self.expect('(')?;
        let mut shape = Vec::new();
        while !self.skip(')') {
            let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            // Files of Python 2 have `3L`.
            let (number, rest) = self.0.split_at(digits);
            let dim = number.parse().map_err(|_| match digits {
                0 => self.unexpected("a dimension"),
                _ => format!("dimension {number} is larger than any memory"),
            })?;
            shape.push(dim);
            if shape.len() > MAX_DIMS {
                return Err(format!("more than {MAX_DIMS} dimensions"));
            }
            self.0 = rest.strip_prefix('L').unwrap_or(rest).trim_start();
            if !self.skip(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }
    fn kind(&mut self) -> Result<Kind, String> {
        let refuse = |what: &str| Err(format!("dtype {what}, this reads float16, float32, float64, int32, int64 and bool, little endian"));
        if self.0.starts_with('[') {
            return refuse("is a record");
        }
        match self.string()? {
            "<f2" => Ok(Kind::F16),
            "<f4" => Ok(Kind::F32),
            "<f8" => Ok(Kind::F64),
            "<i4" => Ok(Kind::I32),
            "<i8" => Ok(Kind::I64),
            "|b1" => Ok(Kind::Bool),
            other => refuse(&match (other.chars().next(), other.get(1..2), other.get(2..).and_then(|n| n.parse::<u32>().ok())) {
                (Some('>'), Some("f"), Some(n)) if n <= 16 => format!("is float{}, big endian", n * 8),
                (Some('>'), Some("i"), Some(n)) if n <= 16 => format!("is int{}, big endian", n * 8),
                (Some('<' | '|'), Some("i"), Some(n)) if n <= 16 => format!("is int{}", n * 8),
                (Some('<' | '|'), Some("u"), Some(n)) if n <= 16 => format!("is uint{}", n * 8),
                (Some('|'), Some("O"), _) => "is object (pickled)".into(),
                _ => format!("is {other:?}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], data: &[f32]) -> AnyTensor {
        AnyTensor { shape: shape.to_vec(), data: Values::F32(data.to_vec()) }
    }

    fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values);
        bytes
    }

    fn of(descr: &str, order: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        file(&format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"), values)
    }

    fn refused(bytes: &[u8]) -> String {
        let what = decode(&mut &bytes[..]).expect_err("must be refused");
        assert!(!what.contains('\n'), "one line: {what}");
        what
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let shapes: [&[usize]; 6] = [&[], &[0], &[5], &[2, 3], &[1, 3, 7, 5], &[2, 0, 4]];
        for shape in shapes {
            let data: Vec<f32> = (0..count(shape).unwrap()).map(|i| i as f32 * 0.1 - 1.0).collect();
            let path = dir.path().join("x.npy");
            let written = Tensor { shape: shape.to_vec(), data };
            write(&path, &written).unwrap();
            assert_eq!(read(&path).unwrap(), written, "{shape:?}");
            let mut values = vec![Values::F32(written.data.clone())];
            let whole = || (0..count(shape).unwrap()).map(|i| i as i64 - 2);
            values.extend([Values::I64(whole().map(|v| v << 40).collect()), Values::I32(whole().map(|v| v as i32).collect())]);
            values.push(Values::Bool(whole().map(|v| v % 3 == 0).collect()));
            for data in values {
                let any = AnyTensor { shape: shape.to_vec(), data };
                write_any(&path, &any).unwrap();
                assert_eq!(read_any(&path).unwrap(), any);
            }
        }
    }

    #[test]
    fn the_header_is_as_numpy_writes_it() {
        let header = |shape: &[usize]| {
            let mut bytes = Vec::new();
            let mut values = std::iter::repeat_n(1.5f32, count(shape).unwrap()).map(|value| value.to_le_bytes().into());
            encode(&mut bytes, shape, "<f4", &mut values).unwrap();
            assert_eq!(&bytes[bytes.len() - 4..], 1.5f32.to_le_bytes());
            let length = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
            assert_eq!((10 + length) % 64, 0);
            assert_eq!(bytes[10 + length - 1], b'\n');
            String::from_utf8(bytes[10..10 + length].to_vec()).unwrap().trim_end().to_string()
        };
        assert_eq!(header(&[]), "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
        assert_eq!(header(&[3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
        assert_eq!(header(&[2, 3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    }

    #[test]
    fn halves_and_doubles_are_converted() {
        let halves: Vec<u8> = [1.5f32, -0.25].iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(decode(&mut &of("'<f2'", "False", "(2,)", &halves)[..]).unwrap(), tensor(&[2], &[1.5, -0.25]));
        let doubles: Vec<u8> = [0.1f64, -1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(decode(&mut &of("'<f8'", "False", "(2L,)", &doubles)[..]).unwrap(), tensor(&[2], &[0.1, f32::NEG_INFINITY]));
    }

    #[test]
    fn fortran_order_becomes_c_order() {
        // [[0, 1, 2], [3, 4, 5]], column by column.
        let bytes: Vec<u8> = [0f32, 3., 1., 4., 2., 5.].iter().flat_map(|v| v.to_le_bytes()).collect();
        let read = decode(&mut &of("'<f4'", "True", "(2, 3)", &bytes)[..]).unwrap();
        assert_eq!(read, tensor(&[2, 3], &[0., 1., 2., 3., 4., 5.]));
        // Three dimensions against the definition.
        let (a, b, c) = (2, 3, 4);
        let mut stored = vec![0f32; a * b * c];
        for (i, j, k) in (0..a * b * c).map(|n| (n / (b * c), n / c % b, n % c)) {
            stored[i + a * (j + b * k)] = (i * b * c + j * c + k) as f32;
        }
        assert_eq!(from_fortran(&[a, b, c], &stored).unwrap(), (0..a * b * c).map(|n| n as f32).collect::<Vec<_>>());
        assert_eq!(decode(&mut &of("'<f4'", "True", "(2, 0, 3)", &[])[..]).unwrap(), tensor(&[2, 0, 3], &[]));
    }

    #[test]
    fn other_types_are_named() {
        for (descr, name) in [
            ("'>f4'", "dtype is float32, big endian,"),
            ("'<i2'", "dtype is int16,"),
            ("'|u1'", "dtype is uint8,"),
            ("'<b1'", "dtype is \"<b1\","),
            ("'|O'", "dtype is object (pickled),"),
            ("'<U3'", "dtype is \"<U3\","),
            ("'<c8'", "dtype is \"<c8\","),
            ("'>f4294967295'", "dtype is \">f4294967295\","),
            ("'é'", "dtype is \"é\","),
            ("''", "dtype is \"\","),
            ("[('a', '<f4')]", "dtype is a record,"),
        ] {
            let what = refused(&of(descr, "False", "(1,)", &[0; 8]));
            assert!(what.starts_with(name), "{descr}: {what}");
        }
    }

    #[test]
    fn bad_files_are_refused() {
        let good = of("'<f4'", "False", "(2, 3)", &[0; 24]);
        assert!(decode(&mut &good[..]).is_ok());
        // Cut anywhere.
        for n in 0..good.len() {
            refused(&good[..n]);
        }
        assert_eq!(refused(&good[..good.len() - 1]), "truncated: shape [2, 3] of float32 needs 24 bytes, the file has 23");
        assert_eq!(refused(b""), "not an .npy file: shorter than 8 bytes");
        assert_eq!(refused(b"\x89PNG\r\n\x1a\n...."), "not an .npy file: it does not start with \\x93NUMPY");
        assert!(refused(b"PK\x03\x04\x14\0\0\0\0\0").contains(".npz"));
        assert!(refused(&of("'<f4'", "False", "(2, 3)", &[0; 25])).contains("the file has more"));
        assert!(refused(b"\x93NUMPY\x04\x00....").contains("version 4.0"));
        assert!(refused(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("4294967295 bytes"));
        // Any one byte of it changed: an answer or a refusal, never a panic.
        for at in 0..good.len() {
            for byte in [0, b'(', b'9', b'\'', 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = byte;
                let _ = decode(&mut &bytes[..]);
            }
        }
    }

    #[test]
    fn lying_headers_are_refused() {
        let shaped = |shape: &str| refused(&of("'<f4'", "False", shape, &[0; 24]));
        // The largest that passes the arithmetic asks for no memory either.
        assert!(shaped("(2305843009213693951,)").contains("the file has 24"));
        assert!(shaped("(2305843009213693952,)").contains("larger than any memory"));
        assert!(shaped("(1000000000000000,)").contains("the file has 24"));
        assert!(shaped("(4294967296, 4294967296, 4294967296)").contains("larger than any memory"));
        assert!(shaped("(99999999999999999999999,)").contains("larger than any memory"));
        assert!(shaped("(-1,)").contains("where a dimension should be"));
        assert!(shaped("(2, 'a')").contains("where a dimension should be"));
        assert!(shaped("(2 3)").contains("where `)` should be"));
        assert!(shaped("6").contains("where `(` should be"));
        assert!(shaped(&format!("({})", "1, ".repeat(65))).contains("more than 64 dimensions"));
        assert!(shaped(&"(".repeat(60_000)).contains("where a dimension should be"));
        assert!(refused(&of("'<f4'", "None", "(6,)", &[0; 24])).contains("where True or False should be"));
        assert!(refused(&file("{'descr': '<f4', 'shape': (6,)}", &[0; 24])).contains("no \"fortran_order\""));
        assert!(refused(&file("{'descr': '<f4', 'a': 1}", &[])).contains("unknown key \"a\""));
        assert!(refused(&file("{} {}", &[])).contains("where the end should be"));
        assert!(refused(&file("{'descr", &[])).contains("where a string should be"));
        assert!(
            refused(&file("{'\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", &[])).contains("a string")
        );
        assert!(refused(&file("", &[])).contains("where `{` should be"));
        assert!(refused(b"\x93NUMPY\x01\x00\x02\x00\xff\xfe").contains("not text"));
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let says = |name: &str, shape: &[usize], data: &[f32]| {
            write_any(&dir.path().join(name), &tensor(shape, data)).expect_err("must fail").to_string()
        };
        assert!(says("x.npy", &[2, 2], &[0.0; 3]).ends_with("shape [2, 2] cannot hold 3 values"));
        assert!(says("x.npy", &[usize::MAX, 2], &[0.0; 3]).contains("cannot hold 3 values"));
        assert!(says("none/x.npy", &[1], &[0.0]).ends_with("no such directory"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_file_says_so() {
        let path = Path::new("no/such.npy");
        assert_eq!(read(path).unwrap_err().to_string(), "no/such.npy: no such file");
    }
}
