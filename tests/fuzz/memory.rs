//! The memory that readers take: a bound for packed files, and never more than twice the tensor.

use super::Folder;
use super::archive::{gzip, idx, npy, zip};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;
use wgrad::Result;
use wgrad::data::{ColorMode, Dataset, Idx, ImageFolder, Npz, parse_idx, parse_npy};
use wgrad::tensor::Tensor;

/// Counts the bytes that each thread holds.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that ends counts no more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator as it is; `realloc` is the trait's own, which allocates, copies and
// frees, so that a growing block counts with its copy.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(block, layout) }
    }
}

/// The most bytes that this thread had during `work` beside those from before.
pub fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    MOST.set(before);
    work();
    (MOST.get() - before).max(0) as usize
}

/// What a reader may hold beside twice the tensor: buffers of files and decoders.
const BESIDE: usize = 512 << 10;

/// Reads a tensor of `bytes` bytes within twice of them.
#[track_caller]
fn within_twice(what: &str, bytes: usize, read: impl FnOnce() -> Result<Tensor>) {
    let mut tensor = None;
    let peak = peak_of(|| tensor = Some(read()));
    let tensor = tensor.unwrap().unwrap();
    assert_eq!(tensor.data().bytes().len(), bytes, "{what}");
    assert!(peak <= 2 * bytes + BESIDE, "{what}: {peak} bytes for {bytes}");
    assert!(peak >= bytes, "{what}: {peak} bytes for {bytes} are not counted");
}

#[test]
fn what_is_held_is_counted() {
    const SIZE: usize = 1 << 20;
    let three = peak_of(|| {
        let first = vec![1_u8; SIZE];
        let copies = [first.clone(), first];
        drop(std::hint::black_box(copies.concat()));
    });
    assert!((4 * SIZE..4 * SIZE + 1000).contains(&three), "{three}");
    let grown = peak_of(|| {
        let mut bytes = vec![1_u8; SIZE];
        bytes.reserve_exact(SIZE);
        drop(std::hint::black_box(bytes));
    });
    assert_eq!(grown, 3 * SIZE);
}

#[test]
fn readers_hold_at_most_twice_the_tensor() {
    // Not a power of two, which a vector's growth would meet exactly.
    const ELEMENTS: usize = 700_001;
    let extent = [ELEMENTS as u32];
    for (element, width) in [(0x08, 1), (0x0c, 4), (0x0d, 4)] {
        let file = idx(element, &extent, &vec![0; ELEMENTS * width]);
        let packed = gzip(&file);
        within_twice("idx", ELEMENTS * width, || parse_idx("a", &file));
        within_twice("packed idx", ELEMENTS * width, || parse_idx("a", &packed));
    }
    let shape = format!("({ELEMENTS}, 1)");
    for (kind, width, becomes) in [
        ("<f4", 4, 4),
        ("<f8", 8, 4),
        ("|u1", 1, 1),
        ("|b1", 1, 1),
        ("|i1", 1, 4),
        (">i2", 2, 4),
        ("<u8", 8, 4),
    ] {
        for fortran in [false, true] {
            let file = npy(kind, fortran, &shape, &vec![0; ELEMENTS * width]);
            within_twice(kind, ELEMENTS * becomes, || parse_npy("a", &file));
            for packed in [false, true] {
                let archive = zip("x.npy", &file, packed);
                let read = || Npz::from_reader("a", Cursor::new(&archive))?.read("x");
                within_twice(kind, ELEMENTS * becomes, read);
            }
        }
    }
}

const MIB: usize = 1 << 20;

/// A gzip file of about a megabyte for each GiB, in parts, as the format allows.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let header = idx(0x08, &[mebibytes as u32, MIB as u32], &[]);
    let zeros = gzip(&vec![0; MIB]);
    [gzip(&header), zeros.repeat(mebibytes)].concat()
}

#[test]
fn a_small_gzip_file_does_not_fill_the_memory() {
    let file = bomb(1024);
    assert!(file.len() < 6 * MIB, "{}", file.len());
    let mut error = String::new();
    let peak = peak_of(|| error = parse_idx("bomb.gz", &file[..MIB]).unwrap_err().to_string());
    assert!(peak < BESIDE, "{peak}");
    for word in ["bomb.gz: gzip: ", "1048576 packed", "1073741824", "`max_unpacked` is 104857600"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(error.contains("`Idx::new().max_unpacked(1073741824)`"), "{error}");
    // The advice in the message works, and a bound may be lowered.
    let file = bomb(80);
    assert!(parse_idx("a", &file).is_err());
    within_twice("raised", 80 * MIB, || Idx::new().max_unpacked(80 << 20).parse("a", &file));
    let small = gzip(&idx(0x08, &[100], &[0; 100]));
    assert!(parse_idx("a", &small).is_ok());
    let error = Idx::new().max_unpacked(99).parse("a", &small).unwrap_err().to_string();
    assert!(error.contains("`max_unpacked` is 99."), "{error}");
    // Plain files are as large as they are.
    assert!(Idx::new().max_unpacked(99).parse("a", &idx(0x08, &[100], &[0; 100])).is_ok());
}

#[test]
fn a_small_archive_does_not_fill_the_memory() {
    let file = npy("|u1", false, "(80, 1048576)", &vec![0; 80 * MIB]);
    let archive = zip("x.npy", &file, true);
    drop(file);
    let open = || Npz::from_reader("bomb.npz", Cursor::new(&archive));
    let mut error = String::new();
    let peak = peak_of(|| error = open().unwrap().read("x").unwrap_err().to_string());
    assert!(peak < BESIDE, "{peak}");
    for word in ["bomb.npz: array `x`: payload: ", "83886080", "`max_unpacked` is 67108864"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(error.contains("`Npz::open(path)?.max_unpacked(83886080)`"), "{error}");
    within_twice("raised", 80 * MIB, || open()?.max_unpacked(83_886_080).read("x"));
    // A directory that claims more packed bytes than there are raises no bound.
    let mut lie = archive.clone();
    let central = lie.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    lie[central + 20..central + 24].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    assert!(Npz::from_reader("lie", Cursor::new(&lie)).and_then(|mut a| a.read("x")).is_err());
}

/// A black PNG of so many pixels.
fn black_png(width: u32, height: u32, color: image::ColorType) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = image::DynamicImage::new(width, height, color);
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_small_image_does_not_fill_the_memory() {
    use image::ColorType::{L8, Rgb8, Rgba16};
    let folder = Folder::new("bombs");
    let path = folder.file("a").join("bomb.png");
    for name in ["a", "b"] {
        std::fs::create_dir(folder.file(name)).unwrap();
        std::fs::write(folder.file(name).join("bomb.png"), black_png(1, 1, L8)).unwrap();
    }
    let images = || ImageFolder::open(folder.path(), [8, 8]).unwrap();
    let read = |images: &ImageFolder| {
        let (mut x, mut y, mut read) = (Vec::new(), Vec::new(), None);
        let peak = peak_of(|| read = Some(images.read(&[0], &mut x, &mut y)));
        (peak, read.unwrap().map(|()| x))
    };
    // Grey pixels and three channels of each; one row whose columns get a new height, each pixel as four f32; four channels
    // of 16 bits and three of 8; colors that become grey.
    let rgb = ColorMode::Rgb;
    for (width, height, color, mode, bytes) in [
        (4800, 4800, L8, rgb, 4800 * 4800 * 4),
        (600_000, 1, L8, rgb, 600_000 * (3 + 8 * 16) + 8 * 8 * 3),
        (2700, 2700, Rgba16, rgb, 2700 * 2700 * 11),
        (4200, 4200, Rgb8, ColorMode::Grayscale, 4200 * 4200 * 4),
    ] {
        let (what, images) = (format!("{width} {height} {color:?}"), || images().color_mode(mode));
        let file = black_png(width, height, color);
        assert!(file.len() < MIB, "{}", file.len());
        std::fs::write(&path, &file).unwrap();
        let (peak, error) = read(&images());
        assert!(peak < 2 * MIB, "{what}: {peak}");
        let error = error.unwrap_err().to_string();
        for word in ["bomb.png: payload: ", "`max_unpacked` is 67108864", &bytes.to_string()] {
            assert!(error.contains(word), "{error}");
        }
        let remedy = format!("`ImageFolder::open(dir, size)?.max_unpacked({bytes})`");
        assert!(error.contains(&remedy), "{error}");
        // The advice in the message works, and one byte less is refused. The memory stays within the bound, cropped too.
        assert!(read(&images().max_unpacked(bytes - 1)).1.is_err());
        for crop in if width == height { vec![false] } else { vec![false, true] } {
            let images = images().max_unpacked(bytes).crop_to_aspect_ratio(crop);
            let (peak, pixels) = read(&images);
            assert_eq!(pixels.unwrap(), vec![0; 8 * 8 * mode.channels()]);
            let bytes = bytes as usize;
            // The file, and rows and tables of the decoder and of the filter.
            assert!(peak < bytes + 2 * MIB + file.len(), "{what}: {peak} bytes for {bytes}");
            assert!(crop || peak > bytes - MIB, "{what}: {peak} bytes for {bytes}");
        }
    }
    // A bound may be lowered.
    std::fs::write(&path, black_png(10, 10, L8)).unwrap();
    assert!(read(&images()).1.is_ok());
    let error = read(&images().max_unpacked(99)).1.unwrap_err().to_string();
    assert!(error.contains("`max_unpacked` is 99"), "{error}");
}
