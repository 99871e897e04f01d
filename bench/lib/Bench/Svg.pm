# Bench::Svg
#     Curves as an SVG file: axes, a grid, a legend, lines.
#
# Copyright (c) 2026, the rswebhook maintainers

package Bench::Svg;

use strict;
use warnings;

use POSIX qw(ceil floor log10);

my ($width, $height) = (720, 380);
my ($left, $right, $bottom) = (80, 40, 52);
my ($title_height, $legend_height, $letter_width) = (38, 18, 7);
my @colours = ('#2f6fde', '#6b7280', '#d9822b', '#3a9d5d', '#c0392b', '#7d5ba6');

# title, x, y: texts; log_x: logarithmic; max_y: cut there;
# curves: [name, [[x, y], ...]], the one that matters first
sub draw
{
    my ($path, %plot) = @_;
    my @curves = grep { @{ $_->[1] } > 1 } @{ $plot{curves} };
    return unless @curves;

    my ($top, @legend) = legend(map { $_->[0] } @curves);
    my @points = map { @{ $_->[1] } } @curves;
    my ($x, $x_ticks) =
      ($plot{log_x} ? \&log_scale : \&scale)->($left, $width - $right, map { $_->[0] } @points);
    my ($y, $y_ticks) =
      scale($height - $bottom, $top, 0, $plot{max_y} // map { $_->[1] } @points);
    my @out = (header($plot{title}), @legend);

    foreach my $tick (@$x_ticks)
    {
        my $at = $x->($tick);
        push @out, line($at, $top, $at, $height - $bottom, '#e5e7eb');
        push @out, text($at, $height - $bottom + 18, 'middle', number($tick));
    }
    foreach my $tick (@$y_ticks)
    {
        my $at = $y->($tick);
        push @out, line($left, $at, $width - $right, $at, '#e5e7eb');
        push @out, text($left - 8, $at + 4, 'end', number($tick));
    }
    push @out, text(($left + $width - $right) / 2, $height - 12, 'middle', $plot{x});
    push @out, sprintf '<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>',
      ($top + $height - $bottom) / 2, escape($plot{y});

    # the first one on top
    foreach my $i (reverse 0 .. $#curves)
    {
        my @visible = grep { !$plot{log_x} || $_->[0] > 0 } @{ $curves[$i][1] };
        my $where = join ' ', map { sprintf '%.1f,%.1f', $x->($_->[0]), $y->($_->[1]) } @visible;

        push @out, sprintf '<polyline fill="none" stroke="%s" stroke-width="%.1f"'
          . ' stroke-linejoin="round" points="%s"/>', $colours[ $i % @colours ], $i ? 1.6 : 2.4, $where;
    }
    open(my $file, '>', $path) or die "cannot write $path: $!\n";
    print $file join("\n", @out, '</svg>'), "\n";
    close $file or die "cannot write $path: $!\n";
    return;
}

# Between the title and the plot, in columns.  Returns also where the plot
# begins.
sub legend
{
    my @names = @_;
    my ($longest) = sort { $b <=> $a } map { length } @names;
    my $column = 44 + $letter_width * $longest;
    my $columns = int(($width - $left) / $column) || 1;
    my ($y, @out);

    foreach my $i (0 .. $#names)
    {
        my $x = $left + $column * ($i % $columns);

        $y = $title_height + 10 + $legend_height * int($i / $columns);
        push @out, line($x, $y - 4, $x + 20, $y - 4, $colours[ $i % @colours ], 3);
        push @out, text($x + 26, $y, 'start', $names[$i]);
    }
    return ($y + 14, @out);
}

# White below all, since a page may be dark.
sub header
{
    my ($title) = map { escape($_) } @_;

    return (
        qq{<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" width="$width"}
          . qq{ height="$height" role="img" font-family="sans-serif" font-size="12" fill="#374151">},
        "<title>$title</title>",
        qq{<rect width="$width" height="$height" rx="6" fill="#ffffff"/>},
        qq{<text x="$left" y="26" font-size="15" font-weight="bold" fill="#111827">$title</text>});
}

sub escape
{
    my ($text) = @_;

    return $text =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr;
}

sub line
{
    my ($x1, $y1, $x2, $y2, $colour, $thickness) = @_;

    return sprintf '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%d"/>',
      $x1, $y1, $x2, $y2, $colour, $thickness // 1;
}

sub text
{
    my ($x, $y, $anchor, $text) = @_;

    return sprintf '<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>',
      $x, $y, $anchor, escape($text);
}

sub number
{
    my ($number) = @_;

    1 while $number =~ s/^(\d+)(\d{3})/$1,$2/;
    return $number;
}

# ---------------------------------------------------------------------
# Scales: a function from values to the picture's units, and where to put ticks
# ---------------------------------------------------------------------

sub scale
{
    my ($from, $to, @values) = @_;
    my ($min, $max) = (sort { $a <=> $b } @values)[ 0, -1 ];
    my @ticks;

    $max = $min + 1 if $max <= $min;
    my $step = 10**floor(log10(($max - $min) / 5));
    foreach my $nice (1, 2, 5, 10)
    {
        $step *= $nice, last if ($max - $min) / ($step * $nice) <= 6;
    }
    $max = $step * ceil($max / $step - 1e-6);
    for (my $tick = $step * floor($min / $step); $tick <= $max * 1.000001; $tick += $step)
    {
        push @ticks, 0 + sprintf '%.6g', $tick if $tick >= $min;
    }
    return (sub {
            my $value = $_[0] > $max ? $max : $_[0];
            return $from + ($to - $from) * ($value - $min) / ($max - $min);
        }, \@ticks);
}

# Logarithmic, of values above 0
sub log_scale
{
    my ($from, $to, @values) = @_;
    my ($min, $max) = (sort { $a <=> $b } grep { $_ > 0 } @values)[ 0, -1 ];
    my @all = map { my $unit = 10**$_; map { $_ * $unit } 1, 2, 5 }
      floor(log10($min)) .. floor(log10($max)) + 1;
    my ($low) = grep { $_ <= $min * 1.000001 } reverse @all;
    my ($high) = grep { $_ >= $max * 0.999999 && $_ > $low } @all;

    return (sub { $from + ($to - $from) * log($_[0] / $low) / log($high / $low) },
        [ grep { $_ >= $low && $_ <= $high } map { 0 + sprintf '%.6g', $_ } @all ]);
}

1;
