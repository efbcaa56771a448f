//! A SQLite VFS for tests: it passes every call on to the default one, counts it, and fails the call that a test names.
//!
//! ```
//! use ff_faultvfs::{Call, Fault, FaultVfs, On};
//! use rusqlite::{Connection, OpenFlags};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let disk = FaultVfs::register("doc");
//! let path = directory.path().join("a.db");
//! let conn = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), "doc")?;
//! conn.execute_batch("CREATE TABLE t (x)")?;
//!
//! disk.fail(Fault::nth(Call::Sync, On::Main, 1));
//! assert!(conn.execute_batch("INSERT INTO t VALUES (1)").is_err());
//! assert_eq!(disk.heal(), 1);
//! conn.execute_batch("INSERT INTO t VALUES (1)")?;
//! # Ok(()) }
//! ```
//!
//! A write that fails has written its first half, as a disk may; a sync that fails has synced nothing, although what was
//! written can still be read, as from the system's cache. Every other call that fails has done nothing. Unlocking never
//! fails.
//!
//! # Why this crate has `unsafe`
//!
//! A VFS is a table of C functions, so there is no safe way to write one, and no disk fails when it is asked to. Every
//! other crate of the workspace forbids `unsafe`; nothing that is shipped depends on this one.
//!
//! What makes the blocks sound, named by their `SAFETY` comments:
//!
//! * **leaked**: a `Shim` is made once for each name, leaked, and never changed after SQLite has it. So the pointers to
//!   it (`pAppData`, `OpenFile::shim`) and to its name stay valid, and all access to it is shared. What does change is
//!   behind a mutex.
//! * **default**: the VFS that SQLite had as its default is part of SQLite and lives as long as the process. It gets its
//!   own `sqlite3_vfs` pointer, never ours, because it keeps data there.
//! * **opened**: SQLite gives to a method of a file only a file that `open` was given and gave methods to. It lies in
//!   `szOsFile` bytes that SQLite aligned to 8: first our `OpenFile`, then, as `OpenFile`'s size is a multiple of its
//!   alignment, the default VFS's own file. Our methods are set only if the default VFS has set its own.
//! * **passed on**: all other arguments go on as they came, for the use that SQLite's documentation of the same method
//!   promises. The one that changes is the length of a torn write, which shrinks.
//!
//! No method unwinds into SQLite: a mutex that is poisoned is used all the same, and nothing else panics.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::size_of;
use std::ptr;
use std::sync::{Mutex, MutexGuard};

use rusqlite::ffi;

/// The calls that are counted and can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Call {
    Open,
    Read,
    Write,
    Sync,
    Truncate,
    /// Mapping the shared memory of a log, or taking one of its locks.
    Shm,
}

impl Call {
    /// Every kind of call.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Read, Self::Write, Self::Sync, Self::Truncate, Self::Shm];
}

/// The files that a call may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// The database.
    Main,
    /// Its write-ahead log, `-wal`.
    Wal,
    /// Its shared memory, `-shm`; only [`Call::Shm`] is on it.
    Shm,
    /// Rollback journals and temporary files.
    Other,
}

const FILES: [On; 4] = [On::Main, On::Wal, On::Shm, On::Other];

/// Which call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    call: Call,
    on: Option<On>,
    nth: u64,
    lasts: bool,
}

impl Fault {
    /// The `nth` such call from now on; 1 is the next. Once.
    pub fn nth(call: Call, on: On, nth: u64) -> Self {
        Self { call, on: Some(on), nth, lasts: false }
    }

    /// The `nth` such call from now on, whatever file it is on. Once.
    pub fn nth_on_any(call: Call, nth: u64) -> Self {
        Self { call, on: None, nth, lasts: false }
    }

    /// Every such call after it fails too, until [`FaultVfs::heal`].
    #[must_use]
    pub fn for_ever(mut self) -> Self {
        self.lasts = true;
        self
    }
}

/// A registered VFS; copies are the same one.
#[derive(Clone, Copy)]
pub struct FaultVfs {
    name: &'static str,
    disk: &'static Disk,
}

impl fmt::Debug for FaultVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultVfs").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FaultVfs {
    /// Registers a VFS over the default one, for the rest of the process. It fails nothing yet.
    ///
    /// # Panics
    ///
    /// When the name is taken or has a NUL, or when SQLite has no usable default VFS.
    pub fn register(name: &str) -> Self {
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        let c_name = CString::new(name).expect("a VFS name without NUL");
        // SAFETY: the argument is a C string that outlives the call.
        let taken = unsafe { ffi::sqlite3_vfs_find(c_name.as_ptr()) };
        assert!(taken.is_null(), "a VFS named `{name}` is registered already");
        // SAFETY: null asks for the default VFS.
        let real = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        assert!(!real.is_null(), "SQLite has no default VFS");
        // SAFETY: default; nobody changes it but SQLite its own `pNext`, which is not read.
        let version = unsafe { (*real).iVersion };
        // SAFETY: the same.
        let file_bytes = unsafe { (*real).szOsFile };
        // SAFETY: the same.
        let path_max = unsafe { (*real).mxPathname };
        assert!(version >= 2, "the default VFS is older than shared memory");
        let own = c_int::try_from(size_of::<OpenFile>()).expect("a small struct");

        let disk: &'static Disk = Box::leak(Box::default());
        let shim: &'static Shim = Box::leak(Box::new(Shim { real, disk }));
        let vfs = Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: own + file_bytes,
            mxPathname: path_max,
            pNext: ptr::null_mut(),
            zName: CString::into_raw(c_name),
            pAppData: ptr::from_ref(shim).cast_mut().cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(last_error),
            xCurrentTimeInt64: Some(current_time_ms),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        });
        // SAFETY: leaked; SQLite may link the struct into its list for as long as the process lives.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(vfs), 0) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite does not take the VFS");
        Self { name, disk }
    }

    /// The name to open a database with.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Fails a call that comes, instead of what was to fail before.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.disk.state();
        state.fault = Some(fault);
        (state.seen, state.struck) = (0, 0);
    }

    /// Fails nothing any more; answers how many calls have failed since [`FaultVfs::fail`].
    pub fn heal(&self) -> u64 {
        let mut state = self.disk.state();
        state.fault = None;
        std::mem::take(&mut state.struck)
    }

    /// How many such calls there have been, failed ones included.
    pub fn count(&self, call: Call, on: On) -> u64 {
        self.disk.state().counts[call as usize][on as usize]
    }

    /// How many such calls there have been on all files together.
    pub fn count_on_all(&self, call: Call) -> u64 {
        self.disk.state().counts[call as usize].iter().sum()
    }
}

#[derive(Default)]
struct Disk(Mutex<State>);

#[derive(Default)]
struct State {
    counts: [[u64; FILES.len()]; Call::ALL.len()],
    fault: Option<Fault>,
    /// Calls of the fault's kind since it was set.
    seen: u64,
    struck: u64,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Counts a call, and answers whether it fails.
    fn fails(&self, call: Call, on: On) -> bool {
        let mut state = self.state();
        state.counts[call as usize][on as usize] += 1;
        let Some(fault) = state.fault else { return false };
        if fault.call != call || fault.on.is_some_and(|wanted| wanted != on) {
            return false;
        }
        state.seen += 1;
        let strikes = state.seen == fault.nth || fault.lasts && state.seen > fault.nth;
        state.struck += u64::from(strikes);
        strikes
    }
}

/// What `pAppData` of a registered VFS points at.
struct Shim {
    real: *mut ffi::sqlite3_vfs,
    disk: &'static Disk,
}

/// Our part of an open file; the default VFS's part follows it.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    shim: *const Shim,
    on: On,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

// ---- The VFS ---------------------------------------------------------------------------------------------------------

/// Calls a method of the default VFS.
macro_rules! pass_to_vfs {
    ($vfs:expr, $method:ident($($argument:expr),*), otherwise $otherwise:expr) => {{
        // SAFETY: SQLite calls with a VFS that was registered with this function.
        let real = unsafe { shim_of($vfs) }.real;
        // SAFETY: default.
        match unsafe { (*real).$method } {
            // SAFETY: default, passed on.
            Some(method) => unsafe { method(real, $($argument),*) },
            None => $otherwise,
        }
    }};
}

/// # Safety
///
/// `vfs` is one that [`FaultVfs::register`] made.
unsafe fn shim_of(vfs: *mut ffi::sqlite3_vfs) -> &'static Shim {
    // SAFETY: the caller's promise; leaked.
    let shim = unsafe { (*vfs).pAppData };
    // SAFETY: leaked.
    unsafe { &*shim.cast::<Shim>() }
}

/// SQLite says by flags what it opens a file as: the same as its suffix does.
fn opened_as(flags: c_int) -> On {
    if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
        On::Main
    } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
        On::Wal
    } else {
        On::Other
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with a VFS that was registered with this function.
    let shim = unsafe { shim_of(vfs) };
    let (own, on) = (file.cast::<OpenFile>(), opened_as(flags));
    let base = ffi::sqlite3_file { pMethods: ptr::null() };
    // SAFETY: SQLite gives `szOsFile` bytes that are ours, aligned to 8.
    unsafe { own.write(OpenFile { base, shim, on }) };
    if shim.disk.fails(Call::Open, on) {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: the bytes after our part are the default VFS's.
    let real = unsafe { real_of(file) };
    // SAFETY: the same; methods that are null say that nothing is open yet.
    unsafe { real.write(ffi::sqlite3_file { pMethods: ptr::null() }) };
    let code =
        pass_to_vfs!(vfs, xOpen(name, real, flags, out_flags), otherwise ffi::SQLITE_CANTOPEN);
    // SAFETY: written above, and by the default VFS since.
    if !unsafe { (*real).pMethods }.is_null() {
        // SAFETY: written above. From here on the file is opened.
        unsafe { (*own).base.pMethods = &raw const METHODS };
    }
    code
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    pass_to_vfs!(vfs, xDelete(name, sync), otherwise ffi::SQLITE_IOERR_DELETE)
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    pass_to_vfs!(vfs, xAccess(name, flags, out), otherwise ffi::SQLITE_IOERR_ACCESS)
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    pass_to_vfs!(vfs, xFullPathname(name, bytes, out), otherwise ffi::SQLITE_CANTOPEN)
}

unsafe extern "C" fn randomness(
    vfs: *mut ffi::sqlite3_vfs,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    pass_to_vfs!(vfs, xRandomness(bytes, out), otherwise 0)
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    pass_to_vfs!(vfs, xSleep(micros), otherwise 0)
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    pass_to_vfs!(vfs, xCurrentTime(out), otherwise ffi::SQLITE_ERROR)
}

unsafe extern "C" fn current_time_ms(
    vfs: *mut ffi::sqlite3_vfs,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    pass_to_vfs!(vfs, xCurrentTimeInt64(out), otherwise ffi::SQLITE_ERROR)
}

unsafe extern "C" fn last_error(
    vfs: *mut ffi::sqlite3_vfs,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    pass_to_vfs!(vfs, xGetLastError(bytes, out), otherwise 0)
}

// ---- An open file ----------------------------------------------------------------------------------------------------

/// Calls a method of the default VFS's file.
macro_rules! pass_to_file {
    ($file:expr, $method:ident($($argument:expr),*), otherwise $otherwise:expr) => {{
        // SAFETY: opened.
        let real = unsafe { real_of($file) };
        // SAFETY: opened, so the default VFS has set its methods.
        let methods = unsafe { (*real).pMethods };
        // SAFETY: the same; they are static.
        match unsafe { (*methods).$method } {
            // SAFETY: opened, passed on.
            Some(method) => unsafe { method(real, $($argument),*) },
            None => $otherwise,
        }
    }};
}

/// Where the default VFS's part of a file is.
///
/// # Safety
///
/// `file` lies in `szOsFile` bytes of a VFS that [`FaultVfs::register`] made.
unsafe fn real_of(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: the caller's promise: the bytes go on behind our part.
    unsafe { file.cast::<OpenFile>().add(1) }.cast()
}

/// Counts a call on an open file, and answers whether it fails.
///
/// # Safety
///
/// `file` is opened.
unsafe fn fails(file: *mut ffi::sqlite3_file, call: Call) -> bool {
    let own = file.cast::<OpenFile>();
    // SAFETY: the caller's promise.
    let shim = unsafe { (*own).shim };
    // SAFETY: the same.
    let on = unsafe { (*own).on };
    let on = if call == Call::Shm { On::Shm } else { on };
    // SAFETY: leaked.
    unsafe { &*shim }.disk.fails(call, on)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    pass_to_file!(file, xClose(), otherwise ffi::SQLITE_OK)
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: *mut c_void,
    bytes: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: opened.
    if unsafe { fails(file, Call::Read) } {
        return ffi::SQLITE_IOERR_READ;
    }
    pass_to_file!(file, xRead(out, bytes, offset), otherwise ffi::SQLITE_IOERR_READ)
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    bytes: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: opened.
    if unsafe { fails(file, Call::Write) } {
        // A torn write fails whether or not its half was written.
        let _torn = pass_to_file!(file, xWrite(from, bytes / 2, offset), otherwise 0);
        return ffi::SQLITE_IOERR_WRITE;
    }
    pass_to_file!(file, xWrite(from, bytes, offset), otherwise ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: opened.
    if unsafe { fails(file, Call::Truncate) } {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    pass_to_file!(file, xTruncate(size), otherwise ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: opened.
    if unsafe { fails(file, Call::Sync) } {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    pass_to_file!(file, xSync(flags), otherwise ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    out: *mut ffi::sqlite3_int64,
) -> c_int {
    pass_to_file!(file, xFileSize(out), otherwise ffi::SQLITE_IOERR_FSTAT)
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    pass_to_file!(file, xLock(level), otherwise ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    pass_to_file!(file, xUnlock(level), otherwise ffi::SQLITE_IOERR_UNLOCK)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    pass_to_file!(file, xCheckReservedLock(out), otherwise ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    op: c_int,
    argument: *mut c_void,
) -> c_int {
    pass_to_file!(file, xFileControl(op, argument), otherwise ffi::SQLITE_NOTFOUND)
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    pass_to_file!(file, xSectorSize(), otherwise 0)
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    pass_to_file!(file, xDeviceCharacteristics(), otherwise 0)
}

/// Whether the default VFS's file has shared memory: its table of methods is shorter otherwise.
///
/// # Safety
///
/// `file` is opened.
unsafe fn has_shm(file: *mut ffi::sqlite3_file) -> bool {
    // SAFETY: the caller's promise.
    let real = unsafe { real_of(file) };
    // SAFETY: opened, so the default VFS has set its methods.
    let methods = unsafe { (*real).pMethods };
    // SAFETY: the same; they are static.
    unsafe { (*methods).iVersion >= 2 }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: opened.
    if unsafe { fails(file, Call::Shm) } {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    // SAFETY: opened.
    if !unsafe { has_shm(file) } {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    pass_to_file!(
        file,
        xShmMap(region, bytes, extend, out),
        otherwise ffi::SQLITE_IOERR_SHMMAP
    )
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // A lock that could not be given back would stay for ever, which no disk does.
    let takes = flags & ffi::SQLITE_SHM_LOCK != 0;
    // SAFETY: opened.
    if takes && unsafe { fails(file, Call::Shm) } {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    // SAFETY: opened.
    if !unsafe { has_shm(file) } {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    pass_to_file!(file, xShmLock(offset, count, flags), otherwise ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: opened.
    if unsafe { has_shm(file) } {
        pass_to_file!(file, xShmBarrier(), otherwise());
    }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: opened.
    if !unsafe { has_shm(file) } {
        return ffi::SQLITE_OK;
    }
    pass_to_file!(file, xShmUnmap(delete), otherwise ffi::SQLITE_OK)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use rusqlite::{Connection, Error, OpenFlags};

    use super::*;

    fn open(path: &Path, disk: FaultVfs) -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags_and_vfs(path, OpenFlags::default(), disk.name())?;
        conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        conn.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS t (x)")?;
        Ok(conn)
    }

    fn code(done: rusqlite::Result<()>) -> c_int {
        match done.unwrap_err() {
            Error::SqliteFailure(error, _) => error.extended_code,
            other => panic!("{other:?}"),
        }
    }

    fn database() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        (directory, path)
    }

    #[test]
    fn every_call_fails_with_its_own_code_and_works_again_when_healed() {
        let (_directory, path) = database();
        let disk = FaultVfs::register("each");
        let insert = "INSERT INTO t VALUES (1)";
        let log = "PRAGMA wal_checkpoint(TRUNCATE)";
        for (call, on, sql, wanted) in [
            (Call::Read, On::Main, "SELECT * FROM t", ffi::SQLITE_IOERR_READ),
            (Call::Write, On::Wal, insert, ffi::SQLITE_IOERR_WRITE),
            (Call::Write, On::Main, log, ffi::SQLITE_IOERR_WRITE),
            (Call::Sync, On::Wal, insert, ffi::SQLITE_IOERR_FSYNC),
            (Call::Sync, On::Main, log, ffi::SQLITE_IOERR_FSYNC),
            (Call::Truncate, On::Wal, log, ffi::SQLITE_IOERR_TRUNCATE),
            (Call::Shm, On::Shm, insert, ffi::SQLITE_IOERR_SHMLOCK),
        ] {
            let conn = open(&path, disk).unwrap();
            if sql == log {
                conn.execute_batch(insert).unwrap();
            } else {
                conn.execute_batch("PRAGMA wal_checkpoint; PRAGMA shrink_memory").unwrap();
            }
            let before = disk.count(call, on);
            disk.fail(Fault::nth(call, on, 1));

            assert_eq!(code(conn.execute_batch(sql)), wanted, "{call:?} on {on:?}");

            assert_eq!(disk.heal(), 1, "{call:?} on {on:?}");
            assert!(disk.count(call, on) > before, "{call:?} on {on:?}");
            conn.execute_batch(sql).unwrap();
        }
        disk.fail(Fault::nth(Call::Open, On::Main, 1));
        assert_eq!(code(open(&path, disk).map(drop)), ffi::SQLITE_CANTOPEN);
        disk.heal();
        open(&path, disk).unwrap();
    }

    #[test]
    fn a_fault_strikes_the_nth_call_once_or_for_ever() {
        let (_directory, path) = database();
        let disk = FaultVfs::register("nth");
        let conn = open(&path, disk).unwrap();
        conn.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let inserts = |fault| {
            disk.fail(fault);
            let done: Vec<_> =
                (0..4).map(|_| conn.execute_batch("INSERT INTO t VALUES (1)").is_ok()).collect();
            (done, disk.heal())
        };

        let fault = Fault::nth(Call::Sync, On::Wal, 2);
        assert_eq!(inserts(fault), (vec![true, false, true, true], 1));
        assert_eq!(inserts(fault.for_ever()), (vec![true, false, false, false], 3));
        assert_eq!(inserts(Fault::nth_on_any(Call::Sync, 1)).0, [false, true, true, true]);
        assert_eq!(inserts(Fault::nth(Call::Sync, On::Main, 1)), (vec![true; 4], 0));
    }

    #[test]
    fn a_write_that_fails_has_written_its_first_half() {
        let (_directory, path) = database();
        let disk = FaultVfs::register("torn");
        let conn = open(&path, disk).unwrap();
        conn.execute_batch("INSERT INTO t VALUES (1); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        disk.fail(Fault::nth(Call::Write, On::Wal, 1));

        conn.execute_batch("INSERT INTO t VALUES (2)").unwrap_err();

        let log = std::fs::metadata(path.with_extension("db-wal")).unwrap();
        assert_eq!(log.len(), 16, "half of the log's head");
    }

    #[test]
    fn a_name_is_registered_once() {
        FaultVfs::register("once");

        assert!(std::panic::catch_unwind(|| FaultVfs::register("once")).is_err());
    }
}
