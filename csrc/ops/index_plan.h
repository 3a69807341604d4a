// What an index picks from a tensor: a view, and elements along arrays of indices.
#pragma once

#include <vector>

#include "ops/functions.h"

namespace wengert {

// What an index without arrays picks: a view. For each input axis where it starts, how it steps and
// how long it is; for each result axis the input axis it comes from, or -1 for a new one.
struct View {
  Dims starts;
  Dims steps;
  Dims lengths;
  Dims sources;

  bool is_whole(const Dims& shape) const;
  // Whether it is one unbroken stretch of one axis (and all of the others); which axis.
  bool is_stretch(const Dims& shape, int* axis) const;
  // Whether its elements follow one another without gaps in the flat order of all; where they
  // begin.
  bool is_run(const Dims& shape, std::int64_t* begin) const;
  // Whether it is every second, third, ... element of the last axis (and all of the others).
  bool is_stepped(const Dims& shape) const;
  // The same of each along a first axis.
  View of_batch(std::int64_t size) const;
  Array of(const Array& x) const;
  // Where the first of its elements lies, counted from x's first.
  std::int64_t offset_in(const Array& x) const;
};

// A view, then (if there are arrays) axes brought together and indices along them.
struct Plan {
  View view;
  Dims order;  // of the view's axes; empty: as they are
  int first_axis = 0;
  std::vector<Array> indices;
};

// Throws std::out_of_range or std::invalid_argument if the index does not fit the shape.
Plan plan_of(const std::vector<IndexItem>& items, const Dims& shape);
// Most indices are integers and slices only, which need none of that. False if there is more.
bool plain_view(const std::vector<IndexItem>& items, const Dims& shape, View* view);

}  // namespace wengert
