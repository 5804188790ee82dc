"""Which files are photos: file name endings, and what a file's first bytes say of its format."""

# fmt: off
PHOTO_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heics", ".heif", ".heifs",
    ".hif", ".ico", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg",
    ".jpx", ".mpo", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".qoi", ".tga", ".tif",
    ".tiff", ".webp",
})
# fmt: on
"""Lower-case file name endings of photos. `open_photo` itself looks at the content only."""

# By what an error calls the file, and what to do about it.
_UNSUPPORTED = {
    "a camera raw file; export it as JPEG": ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq"
    " .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f",
    "a video; save one frame of it as JPEG or PNG": ".3g2 .3gp .avi .flv .m2ts .m4v .mkv .mov"
    " .mp4 .mpeg .mpg .mts .webm .wmv",
    "a document or a drawing; save it as PNG or JPEG": ".ai .eps .pdf .ps .svg .svgz .wmf .emf",
    "a Live Photo; export its still picture as HEIC or JPEG": ".livp",
    "JPEG XL, which is not supported; save it as JPEG": ".jxl",
    "JPEG XR, which is not supported; save it as JPEG": ".hdp .jxr .wdp",
    "an editor's own file; export it as PNG or JPEG": ".exr .hdr .kra .psb .xcf",
}

UNSUPPORTED_SUFFIXES = frozenset(
    suffix for suffixes in _UNSUPPORTED.values() for suffix in suffixes.split()
)
"""Lower-case endings of files that people take for photos and that `open_photo` cannot read."""
