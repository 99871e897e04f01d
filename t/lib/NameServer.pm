# NameServer.pm
#     A DNS server that does with each name as it is told, while it runs, and
#     writes down every question.
#
# It answers as a server that resolves for others does: RFC 1035, and as much of
# EDNS as says how large an answer over UDP may be.  What set() takes for a name:
#
#   A, AAAA => [addresses]   those; an answer without any if there are none
#   ttl => seconds           60
#   cname => name            is that one, whatever that is
#   rcode => word            no answer but NXDOMAIN, SERVFAIL, ...; or its number
#   bare => 1                only the header of that
#   flags => number          in place of those of an answer
#   authority => [types]     NS, SOA, in an answer without any, in place of a SOA;
#                            and the address of the NS, with glue => 1
#   cut => n                 so many bytes of it; twice => 1: with the question twice
#   bytes => n               addresses of so many bytes
#   of => name               records of another name; as => 'TXT': of another type
#   fails => 'AAAA'          SERVFAIL to that type only
#   silent => 1, 'A' ...     not a word: to any question, or one of that type
#   delay => ms              not before that; { A => ms }: to that type
#   truncated => 1, 'A' ...  nothing by UDP but that there is more by TCP
#   tcp => 'closed'          closes the connection where it is asked by TCP; 'silent'
#   garbage => 1             an answer that nobody can read
#   wrong_id => 1            an answer to another question's id
#   forged => address        that one first with another id, then the right answer
#   times => n               that many answers; the others are silence
#   ignores => n             so much silence, for each type; then answers
#
# "*.example" stands for all names below, "*" for all.  What has not been set
# does not exist.  A server that is made with tcp => 0 refuses connections.
#
# Copyright (c) 2026, the rswebhook maintainers

package NameServer;

use strict;
use warnings;

use Errno qw(EADDRINUSE);
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Socket qw(AF_INET AF_INET6 AF_UNIX PF_UNSPEC SOCK_STREAM SO_ACCEPTCONN inet_pton);
use Time::HiRes qw(time);

use Child;

my $json = JSON::PP->new->utf8->canonical;
my %type = (A => 1, NS => 2, CNAME => 5, SOA => 6, TXT => 16, AAAA => 28, OPT => 41);
my %type_name = reverse %type;
my %rcode = (NOERROR => 0, FORMERR => 1, SERVFAIL => 2, NXDOMAIN => 3, NOTIMP => 4, REFUSED => 5);

sub new
{
    my ($class, $address, $ledger, %how) = @_;
    my ($udp, $tcp) = sockets($address, %how);
    my $self = bless { port => $udp->sockport, ledger => $ledger }, $class;

    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
      or die "could not make a socket: $!\n";
    $_->autoflush foreach $ours, $theirs;
    my $pid = Child::start(sub { close $ours; serve($udp, $tcp, $theirs, $ledger) });
    @$self{qw(pid control)} = ($pid, $ours);
    return $self;
}

# One port for both; the system chooses.
sub sockets
{
    my ($address, %how) = @_;
    my @listen = $how{tcp} // 1 ? (Listen => 100) : ();

    foreach my $try (1 .. 20)
    {
        my $udp = IO::Socket::INET->new(LocalAddr => $address, Proto => 'udp')
          or die "could not bind to $address: $@\n";
        my $tcp = IO::Socket::INET->new(
            LocalAddr => $address,
            LocalPort => $udp->sockport,
            Proto => 'tcp',
            @listen,
            ReuseAddr => 1);
        return ($udp, $tcp) if $tcp;
        die "could not listen: $@\n" unless $! == EADDRINUSE;
    }
    die "no port for both UDP and TCP\n";
}

sub port
{
    my ($self) = @_;

    return $self->{port};
}

# In force when it returns.
sub set
{
    my ($self, $name, %how) = @_;
    my $control = $self->{control};

    print $control $json->encode([ $name, \%how ]), "\n";
    defined readline $control or die "the name server is gone\n";
    return;
}

# The questions so far, all or some, in order of arrival: time, name, type,
# port (of whom asked), by (udp or tcp).
sub questions
{
    my ($self, $name, $type) = @_;

    open my $in, '<', $self->{ledger} or return ();
    my @all = map { my %of; @of{qw(time name type port by)} = split; \%of } <$in>;
    @all = grep { $_->{name} eq $name } @all if defined $name;
    @all = grep { $_->{type} eq $type } @all if defined $type;
    return @all;
}

sub stop
{
    my ($self) = @_;
    my $pid = delete $self->{pid} // return;

    Child::stop($pid, 'TERM');
    return;
}

# ---------------------------------------------------------------------
# The process
# ---------------------------------------------------------------------

my %zone;        # name => how
my @later;       # [time, code]
my %answered;    # "name type" => count
my %ignored;     # likewise, of all questions

sub serve
{
    my ($udp, $tcp, $control, $file) = @_;
    my $select = IO::Select->new($udp, $control, $tcp->sockopt(SO_ACCEPTCONN) ? $tcp : ());
    my %input;    # connection => bytes

    open my $ledger, '>>', $file or die "could not open \"$file\": $!\n";
    $ledger->autoflush;
    while (1)
    {
        my ($next) = sort { $a <=> $b } map { $_->[0] - time() } @later;
        $next = 0 if defined $next && $next < 0;
        foreach my $socket ($select->can_read($next))
        {
            if ($socket == $udp)
            {
                my $from = recv($udp, my $bytes, 65535, 0) // next;
                my ($port) = sockaddr_in($from);
                question($ledger, $bytes, $port, 'udp', sub { send($udp, $_[0], 0, $from) });
            }
            elsif ($socket == $tcp)
            {
                $select->add($tcp->accept // next);
            }
            elsif ($socket == $control)
            {
                my $line = readline $control // return;
                my ($name, $how) = @{ $json->decode($line) };
                $zone{$name} = $how;
                print $control "done\n";
            }
            elsif (!sysread $socket, $input{$socket}, 65535, length($input{$socket} // ''))
            {
                $select->remove($socket);
                delete $input{$socket};
                close $socket;
            }
            else
            {
                while ($input{$socket} =~ s/^(..)//s)
                {
                    my $length = unpack 'n', $1;
                    if (length $input{$socket} < $length)
                    {
                        $input{$socket} = $1 . $input{$socket};
                        last;
                    }
                    my $bytes = substr $input{$socket}, 0, $length, '';
                    question($ledger, $bytes, $socket->peerport, 'tcp',
                        sub { defined $_[0] ? syswrite($socket, pack('n/a*', $_[0])) : shutdown($socket, 2) });
                }
            }
        }
        my $now = time();
        my @due = grep { $_->[0] <= $now } @later;
        @later = grep { $_->[0] > $now } @later;
        $_->[1]->() foreach sort { $a->[0] <=> $b->[0] } @due;
    }
}

sub question
{
    my ($ledger, $bytes, $port, $by, $send) = @_;
    my ($id, undef, undef, undef, undef, $more) = unpack 'n6', $bytes;
    my ($at, @labels) = (12);

    while (my $length = unpack 'C', substr($bytes, $at, 1))
    {
        push @labels, lc substr $bytes, $at + 1, $length;
        $at += 1 + $length;
    }
    my $type = unpack 'n', substr($bytes, $at + 1, 2);
    my %asked = (id => $id, question => substr($bytes, 12, $at + 5 - 12), room => 512);
    # EDNS: the first record after the question is of the name "" and says it
    my ($root, $opt, $room) = unpack 'Cnn', substr($bytes, $at + 5) . "\0" x 5;
    ($asked{edns}, $asked{room}) = (1, $room) if $more && $root == 0 && $opt == $type{OPT};
    $asked{room} = 65535 if $by eq 'tcp';

    my $name = join '.', @labels;
    $asked{type} = $type_name{$type} // $type;
    printf $ledger "%.6f %s %s %d %s\n", time(), $name, $asked{type}, $port, $by;

    my $how = how($name);
    my $silent = $how->{silent} // 0;
    return if $silent eq '1' || $silent eq $asked{type};
    return if defined $how->{times} && $answered{"$name $asked{type}"}++ >= $how->{times};
    return if $ignored{"$name $asked{type}"}++ < ($how->{ignores} // 0);
    my $tcp = $by eq 'tcp' ? $how->{tcp} // '' : '';
    return if $tcp eq 'silent';
    return $send->(undef) if $tcp eq 'closed';
    my @answers = answers(\%asked, $name, $how, $by);
    my $answer = sub { $send->($_) foreach @answers };
    my $delay = ref $how->{delay} ? $how->{delay}{ $asked{type} } : $how->{delay};
    return $answer->() unless $delay;
    push @later, [ time() + $delay / 1000, $answer ];
    return;
}

sub how
{
    my ($name) = @_;

    return $zone{$name} if $zone{$name};
    while ($name =~ s/^[^.]+\.//)
    {
        return $zone{"*.$name"} if $zone{"*.$name"};
    }
    return $zone{'*'} // { rcode => 'NXDOMAIN' };
}

sub answers
{
    my ($asked, $name, $how, $by) = @_;

    return message({ %$asked, id => $asked->{id} ^ 1 }, 'NOERROR', records($name, $asked->{type}, $how))
      if $how->{wrong_id};
    # says that there is an answer, whose name leads to itself
    return pack('n6', $asked->{id}, 0x8180, 1, 1, 0, 0) . $asked->{question}
      . pack('n', 0xc000 | 12 + length $asked->{question}) . "\xff" x 30
      if $how->{garbage};
    my $truncated = $how->{truncated} // 0;
    return message({ %$asked, room => 0 }, 'NOERROR', "\0")
      if $by eq 'udp' && ($truncated eq '1' || $truncated eq $asked->{type});

    return pack('n6', $asked->{id}, 0x8180 | number(rcode($asked, $how)), (0) x 4) if $how->{bare};
    my $right = message({ %$asked, map { $_ => $how->{$_} } 'authority', 'glue' }, rcode($asked, $how), records($name, $asked->{type}, $how));
    substr $right, 2, 2, pack('n', $how->{flags}) if defined $how->{flags};
    return substr $right, 0, $how->{cut} if $how->{cut};
    return pack('n6', $asked->{id}, 0x8180, 2, 0, 0, 0) . $asked->{question} x 2 if $how->{twice};
    return $right unless defined $how->{forged};
    my $forged = { $asked->{type} => [ $how->{forged} ] };
    return (message({ %$asked, id => $asked->{id} ^ 1 }, 'NOERROR', records($name, $asked->{type}, $forged)), $right);
}

sub rcode
{
    my ($asked, $how) = @_;
    my $target = $how->{cname};

    return 'SERVFAIL' if ($how->{fails} // '') eq $asked->{type};
    return $how->{rcode} // 'NOERROR' if !defined $target || how($target)->{cname};
    return how($target)->{rcode} // 'NOERROR';
}

sub number
{
    my ($rcode) = @_;

    return $rcode{$rcode} // $rcode;
}

# What a name is, with all that its other names lead to.
sub records
{
    my ($name, $type, $how) = @_;
    my @records;

    for (my $steps = 0; defined $how->{cname} && $steps < 8; $steps++)
    {
        push @records, record($name, 'CNAME', $how->{ttl}, encoded($how->{cname}));
        $name = $how->{cname};
        $how = how($name);
    }
    my $family = $type eq 'AAAA' ? AF_INET6 : AF_INET;
    return (@records,
        map { record($how->{of} // $name, $how->{as} // $type, $how->{ttl}, $_) }
        map { defined $how->{bytes} ? pack("a$how->{bytes}", $_) : $_ }
        grep { defined } map { inet_pton($family, $_) } @{ $how->{$type} // [] });
}

sub record
{
    my ($name, $type, $ttl, $data) = @_;

    return encoded($name) . pack('nnNn/a*', $type{$type}, 1, $ttl // 60, $data);
}

sub encoded
{
    my ($name) = @_;

    return join('', map { pack 'C/a*', $_ } split /\./, $name) . "\0";
}

# A whole answer, or that it is too long.  One without records says for how
# long: a second.
sub message
{
    my ($asked, $rcode, @records) = @_;
    my %data = (NS => encoded('ns.example'), SOA => "\0\0" . pack('N5', (1) x 5));
    my @authority = @records ? () : map { record('', $_, 1, $data{$_}) } @{ $asked->{authority} // ['SOA'] };
    my @glue = @records || !$asked->{glue} ? () : record('ns.example', 'A', 1, "\x7f\0\0\x01");
    my $edns = $asked->{edns} ? pack('CnnNn', 0, $type{OPT}, 1232, 0, 0) : '';
    my $flags = 0x8180 | number($rcode);
    my $tail = join '', @records, @authority, @glue, $edns;

    if (12 + length($asked->{question}) + length $tail > $asked->{room})
    {
        $flags |= 0x0200;
        @records = @authority = @glue = ();
        $tail = $edns;
    }
    return pack('n6', $asked->{id}, $flags, 1, scalar @records, scalar @authority, @glue + ($edns ? 1 : 0))
      . $asked->{question} . $tail;
}

1;
