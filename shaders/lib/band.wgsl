// The (row, column) of an output tile from the linear index of its workgroup. Tiles go down four rows before
// they go to the next column, so that tiles that run together share columns of B and few rows of A: both stay in
// cache. Indices past the last tile, the surplus of a folded grid, get a row past the last.
fn banded_tile(index: u32, tiles_m: u32, tiles_n: u32) -> vec2<u32> {
    let tiles = tiles_m * tiles_n;
    let i = min(index, tiles - 1u);
    let band = i / (4u * tiles_n);
    let within = i - band * 4u * tiles_n;
    let height = min(4u, tiles_m - 4u * band);
    let tile = vec2<u32>(4u * band + within % height, within / height);
    return select(vec2<u32>(tiles_m, 0u), tile, index < tiles);
}
