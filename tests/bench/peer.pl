#!/usr/bin/perl
# The kernel work of one NIC as Proxmox VE's pve-bridge and pve-bridgedown do it: the peer of `make bench`.
#
#   peer.pl up|down plain|firewalled|vlan-firewalled TAP BRIDGE
#
# Steps and their order were traced with strace on Proxmox VE 9.  So many processes are started for a plug:
#
#                      Perl   ip   bridge   ovs-vsctl   tc   sh around tc
#   plain                1     5      0         2        4        4         16
#   firewalled           1    14      0         2        4        4         25
#   vlan-firewalled      1    14      2         2        4        4         27
#
# and for an unplug 4 or 6.  This script is pve-bridge's Perl, and starts programs as that does: fork, exec, and both
# streams read to their end.  Where Open vSwitch is not installed, ovs-vsctl is a fork whose exec fails, as there.
# Left out, which makes the peer faster than the original: loading PVE's modules (0.12 s), reading and parsing
# the configuration, decoding what `ip` prints, locks.  The guest's rules are not among it: pve-firewall loads them
# up to ten seconds later.
use strict;
use warnings;

use IO::Select;
use IPC::Open3;
use Symbol qw(gensym);

my $MTU = 1500;
my $TAG = 20;

my ($phase, $kind, $tap, $bridge) = @ARGV;
my ($vmid, $index) = $tap =~ /^tap(\d+)i(\d+)$/ or die "$tap is no tap of a guest\n";
my ($fwbr, $fwln, $fwpr) = ("fwbr${vmid}i$index", "fwln${vmid}i$index", "fwpr${vmid}p$index");

if ($phase eq 'up') { plug() } else { unplug() }

sub plug {
    ipv6_off($tap);
    run("ip link set $tap up promisc on mtu $MTU");
    run('ip -details -json link show') for 1 .. 2;    # two readings of /etc/network/interfaces ask for all links each
    run("ovs-vsctl del-port $tap");
    if ($kind eq 'plain') {
        add_port($tap, $bridge);
    } else {
        run("ip link add name $fwbr type bridge");
        run("ip link set $fwbr up");
        run("ip link add name $fwln mtu $MTU type veth peer name $fwpr mtu $MTU");
        run("ip link set $fwln up");
        run("ip link set $fwpr up");
        add_port($fwln, $fwbr);
        add_port($fwpr, $bridge);
        tag($fwpr) if $kind eq 'vlan-firewalled';
        add_port($tap, $fwbr);
    }
    run("ovs-vsctl del-port $fwln");
    no_rate();
}

sub unplug {
    run("ip link set $tap nomaster");
    if ($kind ne 'plain') {
        run("ip link delete dev $fwln");
        run("ip link delete dev $fwbr");
    }
    run("ovs-vsctl del-port $_") for $tap, $fwln;
}

sub add_port {
    my ($port, $to) = @_;
    run("ip link set $port mtu $MTU");
    ipv6_off($port);
    run("ip link set $port master $to");
}

sub tag {
    my ($port) = @_;
    run("bridge vlan del dev $port vid 1-4094");
    run("bridge vlan add dev $port vid $TAG pvid untagged");
}

# A NIC without a limit may have had one.
sub no_rate {
    for my $what ("class del dev $tap parent 1: classid 1:1",
                  "filter del dev $tap parent ffff: protocol all pref 50 u32",
                  "qdisc del dev $tap ingress",
                  "qdisc del dev $tap root") {
        run(['sh', '-c', "tc $what >/dev/null 2>&1 || true"]);
    }
}

sub ipv6_off {
    my ($name) = @_;
    open(my $file, '>', "/proc/sys/net/ipv6/conf/$name/disable_ipv6") or return;
    print $file "1\n";
    close($file);
}

# Start a program and read both its streams to their end; some of the steps fail, as they do there.
sub run {
    my ($command) = @_;
    my @words = ref $command ? @$command : split / /, $command;
    my ($in, $out, $errors) = (undef, undef, gensym);
    my $pid = eval { open3($in, $out, $errors, @words) } or return;
    close($in);
    my $open = IO::Select->new($out, $errors);
    while ($open->count) {
        for my $stream ($open->can_read) {
            $open->remove($stream) unless sysread($stream, my $said, 4096);
        }
    }
    waitpid($pid, 0);
}
